"""Settings of jobs/export.py."""

from pydantic import Field, NonNegativeFloat, PositiveInt, model_validator

from ocr_model.config import Config
from ocr_model.data.sources import DataConfig
from ocr_model.data.synthetic.source import SyntheticSource
from ocr_model.exports import ExportKind


class ExportConfig(Config):
    """What is made of a bundle, and on which words it is checked."""

    model: str
    """Folder of the bundle; each kind gets a subfolder in it."""
    kinds: list[ExportKind] = Field(["onnx", "int8", "half"], min_length=1)
    """onnx: graphs for onnxruntime. int8: the same with weights and activations in 8 bits, for CPUs
    with VNNI; others may add products up wrongly, so score it where it will read. half: weights in
    half precision, half as large."""
    data: DataConfig = SyntheticSource()
    """Words that the exports are checked on: those of the validation part, or, where the source has
    none, the ones that int8 is not calibrated on."""
    development_words: PositiveInt = 2_000
    """Use at most this many words to check and measure."""
    calibration_words: PositiveInt = Field(256, le=1_000)
    """Use at most this many words to find the ranges of int8's activations, and at most half of a
    source without a validation part."""
    max_points_lost: NonNegativeFloat = 0.5
    """Most words in a hundred that int8 and half may read less than the original."""
    batch_size: PositiveInt = 64

    @model_validator(mode="after")
    def _settings_have_effect(self) -> "ExportConfig":
        if len(set(self.kinds)) < len(self.kinds):
            raise ValueError(f"kinds has one twice: {', '.join(self.kinds)}")
        if "int8" not in self.kinds and "calibration_words" in self.model_fields_set:
            raise ValueError("calibration_words is of kind int8 only, which kinds does not have")
        if self.kinds == ["onnx"] and "max_points_lost" in self.model_fields_set:
            raise ValueError("max_points_lost is of int8 and half; onnx must lose none")
        return self
