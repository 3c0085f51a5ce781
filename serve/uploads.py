"""Bodies to images: raw, multipart, or base64 in JSON; what they are, their first bytes say."""

import base64
import binascii
from dataclasses import dataclass
from http import HTTPStatus

from pydantic import ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from ocr_model.inference.documents import EXPECTED, document_kind

from .problems import Problem, faults_of
from .protocol import ImagesBody

_MULTIPART, _JSON = "multipart/form-data", "application/json"
_UNPROCESSABLE = HTTPStatus.UNPROCESSABLE_ENTITY
_FIELDS = 16  # besides files


@dataclass(frozen=True)
class Upload:
    """One file of a request."""

    name: str
    data: bytes


async def read_uploads(request: Request, most: int) -> list[Upload]:
    """Return the files of a multipart body, or of a raw one the body.

    Raises:
        Problem: There is none, there are more than `most`, or the form is broken.
    """
    if _media_type(request) != _MULTIPART:
        return [Upload("", await _raw(request))]
    try:
        form = await request.form(max_files=most, max_fields=_FIELDS)
    except HTTPException as error:
        if error.detail.startswith("Too many files"):
            raise _too_many_images(error.detail) from error
        raise _bad_form(error.detail) from error
    except (LookupError, UnicodeError) as error:  # of the charset that the caller names
        raise _bad_form(str(error)) from error
    files = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
    if not files:
        raise Problem(_UNPROCESSABLE, "no-file", "There is no file", "the form has no file")
    uploads = [Upload(_encodable(file.filename or ""), await file.read()) for file in files]
    await form.close()
    return uploads


async def read_word_images(request: Request, most: int) -> list[bytes]:
    """Return a request's pictures of words.

    Raises:
        Problem: There are none or too many, or the body is broken.
    """
    if _media_type(request) != _JSON:
        return [upload.data for upload in await read_uploads(request, most)]
    try:
        body = ImagesBody.model_validate_json(await _raw(request))
        if len(body.images) > most:
            raise _too_many_images(f"{len(body.images)} images, at most {most} in a request")
        images = [base64.b64decode(image, validate=True) for image in body.images]
    except ValidationError as error:
        raise Problem(_UNPROCESSABLE, "bad-json", "The JSON is wrong", faults_of(error)) from error
    except (binascii.Error, ValueError) as error:
        raise Problem(_UNPROCESSABLE, "bad-base64", "Not base64", str(error)) from error
    return images


def require_document(data: bytes) -> None:
    """Refuse what is neither picture nor PDF before it is sent anywhere.

    Raises:
        Problem: 415.
    """
    if document_kind(data) is None:
        detail = f"it begins with {data[:8]!r}; {EXPECTED}"
        status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
        raise Problem(status, "not-an-image", "Neither picture nor PDF", detail)


def _bad_form(detail: str) -> Problem:
    return Problem(_UNPROCESSABLE, "bad-form", "The form is broken", detail)


def _encodable(name: str) -> str:
    """Replace halves of characters, which some charsets give and UTF-8 cannot have."""
    return name.encode(errors="replace").decode()


def _too_many_images(detail: str) -> Problem:
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    return Problem(status, "too-many-images", "Too many images", detail)


async def _raw(request: Request) -> bytes:
    body = await request.body()
    if not body:
        raise Problem(_UNPROCESSABLE, "no-file", "The body is empty", "send an image")
    return body


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
