"""The application's builder, which `deploy.yaml` names: `serve run serve/deploy.yaml`."""

from typing import Any

from ray import serve
from ray.serve.config import AutoscalingConfig, BackpressureConfig
from ray.serve.schema import LoggingConfig

from .config import ModelsConfig, ReplicasConfig, ServeConfig, serve_config
from .detector import PageService
from .ingress import Ingress
from .recognizer import WordReader

_HEALTH_CHECK_PERIOD_SECONDS = 10.0
_HEALTH_CHECK_TIMEOUT_SECONDS = 60.0  # a batch may be under way before it


def build(args: dict[str, Any]) -> serve.Application:
    """Build the application from `args`, which `ServeConfig` describes, with the model in the box.

    Others are the `user_config` of the deployment `words`, which `ModelsConfig` describes.

    Raises:
        ConfigError: A setting is unknown or wrong.
    """
    config = serve_config(args)
    words = _deployment(WordReader, "words", config, config.words).options(
        user_config=ModelsConfig().model_dump(mode="json")
    )
    words_handle = words.bind(config.words, config.limits.max_word_pixels)
    pages = _deployment(PageService, "pages", config, config.pages).bind(
        config.pages, config.limits, words_handle, config.words.num_calls // 2
    )
    return _deployment(serve.ingress()(Ingress), "ingress", config, config.ingress).bind(
        config.limits,
        config.access,
        config.batches,
        config.pages.reading.documents,
        config.words.num_calls,
        words_handle,
        pages,
    )


def _deployment(
    plain: type, name: str, config: ServeConfig, replicas: ReplicasConfig
) -> serve.Deployment:
    deployed = serve.deployment(**replica_options(config, replicas))(plain)
    assert isinstance(deployed, serve.Deployment)
    return deployed.options(name=name)


def replica_options(config: ServeConfig, replicas: ReplicasConfig) -> dict[str, Any]:
    """Return a deployment's options as Ray Serve takes them."""
    options: dict[str, Any] = {
        "ray_actor_options": {"num_cpus": replicas.num_cpus, "num_gpus": replicas.num_gpus},
        "max_ongoing_requests": replicas.max_ongoing_requests,
        "max_queued_requests": replicas.max_queued_requests,
        "backpressure_config": BackpressureConfig(
            status_code=429, retry_after_s=config.limits.retry_after_seconds
        ),
        "health_check_period_s": _HEALTH_CHECK_PERIOD_SECONDS,
        "health_check_timeout_s": _HEALTH_CHECK_TIMEOUT_SECONDS,
        "graceful_shutdown_timeout_s": replicas.drain_seconds or config.limits.max_seconds,
        "logging_config": LoggingConfig(
            encoding="JSON", log_level=config.log_level, enable_access_log=False
        ),
    }
    if replicas.max_replicas == replicas.min_replicas:
        return options | {"num_replicas": replicas.min_replicas}
    return options | {
        "autoscaling_config": AutoscalingConfig(
            min_replicas=replicas.min_replicas,
            max_replicas=replicas.max_replicas,
            target_ongoing_requests=replicas.target_ongoing_requests,
            upscale_delay_s=replicas.upscale_delay_seconds,
            downscale_delay_s=replicas.downscale_delay_seconds,
        )
    }
