from pathlib import Path

import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

from ocr_model.errors import ConfigError
from ocr_model.inference.documents import DocumentConfig
from serve.app import replica_options
from serve.config import ModelsConfig, ServeConfig, serve_config
from serve.limits import LimitsConfig, TokenConfig
from serve.messages import PageOptions

DEPLOY = Path(__file__).parents[2] / "serve" / "deploy.yaml"


def test_the_default_file_is_understood_by_ray_and_by_us() -> None:
    values = yaml.safe_load(DEPLOY.read_text())
    schema = ServeDeploySchema.model_validate(values)
    assert schema.http_options.host == "127.0.0.1"
    (application,) = schema.applications
    assert application.import_path == "serve.app:build"
    assert serve_config(application.args) == ServeConfig()
    (words,) = application.deployments
    assert words.name == "words"
    assert ModelsConfig.model_validate(words.user_config) == ModelsConfig()


def test_an_unknown_setting_names_the_one_that_is_meant() -> None:
    with pytest.raises(ConfigError, match=r"words\.batch_word: .*'words\.batch_words'"):
        serve_config({"words": {"batch_word": 3}})


def test_the_default_model_must_be_among_the_models() -> None:
    with pytest.raises(ValueError, match="default_model='mine' is none of models: compact"):
        ModelsConfig(default_model="mine")


def test_a_token_is_configured_by_its_hash() -> None:
    with pytest.raises(ValueError, match="never the token"):
        TokenConfig(name="alice", sha256="open sesame")


def test_the_default_application_and_a_batch_job_fit_on_two_cpus() -> None:
    config = ServeConfig()
    parts = (config.ingress, config.words, config.pages)
    reader_and_fetch = 1.25
    assert sum(part.num_cpus * part.max_replicas for part in parts) + reader_and_fetch <= 2.0


def test_by_default_calls_are_enough_for_all_replicas_and_answers_end_before_a_replica() -> None:
    config = serve_config({"words": {"max_replicas": 3}, "limits": {"max_seconds": 50}})
    assert config.words.num_calls == 6
    assert config.words.replace(calls_under_way=4).num_calls == 4
    assert replica_options(config, config.pages)["graceful_shutdown_timeout_s"] == 50
    told = config.pages.replace(drain_seconds=7)
    assert replica_options(config, told)["graceful_shutdown_timeout_s"] == 7


def test_a_replica_may_have_a_fraction_of_a_gpu_and_their_number_may_follow_the_queue() -> None:
    config = serve_config(
        {"words": {"num_gpus": 0.5, "max_replicas": 4, "target_ongoing_requests": 1.5}}
    )
    options = replica_options(config, config.words)
    assert options["ray_actor_options"] == {"num_cpus": 0.3, "num_gpus": 0.5}
    scaling = options["autoscaling_config"]
    assert (scaling.min_replicas, scaling.max_replicas) == (1, 4)
    assert scaling.target_ongoing_requests == 1.5
    assert replica_options(config, config.pages)["num_replicas"] == 1


@pytest.mark.parametrize("number", [1.5, -1])
def test_more_than_one_gpu_is_whole(number: float) -> None:
    with pytest.raises(ConfigError, match=r"words\.num_gpus"):
        serve_config({"words": {"num_gpus": number}})


def test_documents_are_opened_as_configured_and_asked_for_within_the_limits() -> None:
    limits = LimitsConfig(max_pages=3, max_image_pixels=1_000_000, max_pdf_seconds=7)
    opened = limits.documents(DocumentConfig(dpi=100), PageOptions(pages="2-"))
    assert (opened.dpi, opened.pages, opened.max_pages, opened.max_pixels) == (100, "2-", 3, 10**6)
    assert opened.pdf_bounds is not None
    assert opened.pdf_bounds.document_seconds == 7
    assert limits.documents(opened, PageOptions(dpi=50)).dpi == 50
    assert limits.documents(DocumentConfig(pdf_bounds=None), PageOptions()).pdf_bounds is None


def test_by_default_pdfs_are_drawn_within_bounds_and_the_time_of_an_answer() -> None:
    config = ServeConfig()
    assert config.pages.reading.documents.pdf_bounds is not None
    assert config.limits.max_pdf_seconds < config.limits.max_seconds
