"""Reading by a service over HTTP, without torch or Ray on this side."""

from ocr_model.client.client import AsyncClient, Client
from ocr_model.client.exchange import ServiceError, WordReading

__all__ = ["AsyncClient", "Client", "ServiceError", "WordReading"]
