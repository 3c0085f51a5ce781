"""The exceptions that a caller may catch.

```
OCRError
├── ConfigError         a setting that is unknown, of the wrong kind, or without effect
├── CharsetError        text with characters that the vocabulary does not have
├── ImageError          bytes that are not a usable picture
├── DatasetError        a dataset that is missing, empty, or broken beyond the allowed rate
├── BundleError         a model folder that is incomplete, altered, or of another kind
├── ExportError         an exported model that does not read as the original does
├── CheckpointError     a training state that could not be written or does not fit the run
├── NonFiniteLossError  training diverged
├── StorageError        a folder or a bucket that is not there, not open to us, or not answering
├── BatchError          a batch run whose output is another's, or that met too many bad images
├── ClusterError        the cluster cannot give what the run asks for
└── ServiceError        a service refused a request, or did not answer (ocr_model.client)
```
"""


class OCRError(Exception):
    """Base of every error that this project raises on purpose."""


class ConfigError(OCRError, ValueError):
    """A setting is unknown, of the wrong kind, or without effect."""


class CharsetError(OCRError, ValueError):
    """Text has characters that the vocabulary does not have."""


class ImageError(OCRError, ValueError):
    """Bytes are not a usable picture. `reason` is a short name to count by."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[type["ImageError"], tuple[str, str]]:
        """Survive pickling: the default would call `__init__` with the joined message."""
        return type(self), (self.reason, self.detail)


class DatasetError(OCRError):
    """A dataset is missing, empty, or broken beyond the allowed rate."""


class BundleError(OCRError):
    """A model folder is incomplete, altered, or of another kind."""


class ExportError(OCRError):
    """An exported model does not read as the original does."""


class CheckpointError(OCRError):
    """A training state could not be written, or does not fit the run."""


class NonFiniteLossError(OCRError):
    """The loss became infinite or NaN."""


class StorageError(OCRError):
    """A folder or a bucket is not there, not open to us, or does not answer."""


class BatchError(OCRError):
    """A batch run's output is another run's, or it met too many bad images."""


class ClusterError(OCRError):
    """The cluster cannot give what the run asks for."""
