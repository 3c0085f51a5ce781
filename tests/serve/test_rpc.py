import io
from collections.abc import Callable, Iterator

import grpc
import httpx2
import pytest
from PIL import Image

from ocr_model import PageReader
from serve import ocr_pb2, ocr_pb2_grpc

Picture = Callable[..., bytes]
Metadata = list[tuple[str, str]]


@pytest.fixture
def stub(client: httpx2.Client, grpc_address: str) -> Iterator[ocr_pb2_grpc.OCRStub]:
    assert client.base_url, "the application is ready"
    with grpc.insecure_channel(grpc_address) as channel:
        yield ocr_pb2_grpc.OCRStub(channel)


@pytest.fixture
def metadata(tokens: dict[str, str]) -> Metadata:
    return [("application", "ocr"), ("authorization", f"Bearer {tokens['tests']}")]


def test_words_and_pages_are_read_over_grpc_as_in_one_process(
    stub: ocr_pb2_grpc.OCRStub,
    metadata: Metadata,
    word_picture: Picture,
    page_picture: Picture,
    reader: PageReader,
) -> None:
    words = [word_picture("one"), b"none", word_picture("three")]
    reply = stub.Recognize(ocr_pb2.RecognizeRequest(images=words), metadata=metadata, timeout=60)
    assert [w.text for w in reply.words] == [p.text for p in reader.recognizer.read(words)]
    assert reply.words[1].error.startswith("not_an_image")
    request = ocr_pb2.ReadRequest(document=page_picture("HOTEL Paris"), format="text")
    page = stub.Read(request, metadata=metadata, timeout=60)
    assert page.content.decode().split() == reader.read(request.document).text.split()
    assert page.media_type.startswith("text/plain")


def test_a_word_that_stands_high_is_read_unless_it_is_said_to_be_upright(
    stub: ocr_pb2_grpc.OCRStub, metadata: Metadata, word_picture: Picture
) -> None:
    upright = Image.open(io.BytesIO(word_picture("Hotel")))
    high = io.BytesIO()
    upright.transpose(Image.Transpose.ROTATE_270).save(high, "PNG")

    def read(orientations: str) -> ocr_pb2.Word:
        request = ocr_pb2.RecognizeRequest(images=[high.getvalue()], orientations=orientations)
        (word,) = stub.Recognize(request, metadata=metadata, timeout=60).words
        return word

    assert [read(orientations).text for orientations in ("", "vertical")] == ["Hotel", "Hotel"]
    assert read("upright").rotation == 0


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (ocr_pb2.ReadRequest(document=b"none"), grpc.StatusCode.INVALID_ARGUMENT),
        (ocr_pb2.ReadRequest(document=bytes(3_000_001)), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (ocr_pb2.ReadRequest(document=b"%PDF-", format="docx"), grpc.StatusCode.INVALID_ARGUMENT),
        (
            ocr_pb2.ReadRequest(document=b"%PDF-", options=ocr_pb2.WordOptions(language="xx")),
            grpc.StatusCode.INVALID_ARGUMENT,
        ),
        (
            ocr_pb2.ReadRequest(document=b"%PDF-", options=ocr_pb2.WordOptions(model="none")),
            grpc.StatusCode.NOT_FOUND,
        ),
    ],
)
def test_what_is_wrong_is_told_by_a_code(
    stub: ocr_pb2_grpc.OCRStub,
    metadata: Metadata,
    request_: ocr_pb2.ReadRequest,
    code: grpc.StatusCode,
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.Read(request_, metadata=metadata, timeout=60)
    assert caught.value.code() == code


def test_a_token_is_needed(stub: ocr_pb2_grpc.OCRStub, word_picture: Picture) -> None:
    request = ocr_pb2.RecognizeRequest(images=[word_picture()])
    with pytest.raises(grpc.RpcError) as caught:
        stub.Recognize(request, metadata=[("application", "ocr")], timeout=60)
    assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
