from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WordOptions(_message.Message):
    __slots__ = ("model", "characters", "lexicon", "lexicon_bonus", "language")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CHARACTERS_FIELD_NUMBER: _ClassVar[int]
    LEXICON_FIELD_NUMBER: _ClassVar[int]
    LEXICON_BONUS_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    model: str
    characters: str
    lexicon: _containers.RepeatedScalarFieldContainer[str]
    lexicon_bonus: float
    language: str
    def __init__(self, model: _Optional[str] = ..., characters: _Optional[str] = ..., lexicon: _Optional[_Iterable[str]] = ..., lexicon_bonus: _Optional[float] = ..., language: _Optional[str] = ...) -> None: ...

class RecognizeRequest(_message.Message):
    __slots__ = ("images", "options", "orientations")
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    ORIENTATIONS_FIELD_NUMBER: _ClassVar[int]
    images: _containers.RepeatedScalarFieldContainer[bytes]
    options: WordOptions
    orientations: str
    def __init__(self, images: _Optional[_Iterable[bytes]] = ..., options: _Optional[_Union[WordOptions, _Mapping]] = ..., orientations: _Optional[str] = ...) -> None: ...

class Word(_message.Message):
    __slots__ = ("text", "confidence", "char_confidences", "rotation", "error")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    CHAR_CONFIDENCES_FIELD_NUMBER: _ClassVar[int]
    ROTATION_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    text: str
    confidence: float
    char_confidences: _containers.RepeatedScalarFieldContainer[float]
    rotation: int
    error: str
    def __init__(self, text: _Optional[str] = ..., confidence: _Optional[float] = ..., char_confidences: _Optional[_Iterable[float]] = ..., rotation: _Optional[int] = ..., error: _Optional[str] = ...) -> None: ...

class RecognizeReply(_message.Message):
    __slots__ = ("words",)
    WORDS_FIELD_NUMBER: _ClassVar[int]
    words: _containers.RepeatedCompositeFieldContainer[Word]
    def __init__(self, words: _Optional[_Iterable[_Union[Word, _Mapping]]] = ...) -> None: ...

class ReadRequest(_message.Message):
    __slots__ = ("document", "options", "format", "orientation", "pages")
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    ORIENTATION_FIELD_NUMBER: _ClassVar[int]
    PAGES_FIELD_NUMBER: _ClassVar[int]
    document: bytes
    options: WordOptions
    format: str
    orientation: str
    pages: str
    def __init__(self, document: _Optional[bytes] = ..., options: _Optional[_Union[WordOptions, _Mapping]] = ..., format: _Optional[str] = ..., orientation: _Optional[str] = ..., pages: _Optional[str] = ...) -> None: ...

class ReadReply(_message.Message):
    __slots__ = ("content", "media_type")
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    content: bytes
    media_type: str
    def __init__(self, content: _Optional[bytes] = ..., media_type: _Optional[str] = ...) -> None: ...
