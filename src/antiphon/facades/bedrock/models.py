"""The models as Bedrock's control plane lists them: foundation models, and an inference profile for each."""

from typing import Any

from antiphon.core.clock import rfc3339
from antiphon.engines.catalog import Catalog, Model

_ARN = "arn:aws:bedrock:us-east-1:"
_ACCOUNT = "000000000000"
_PROVIDER = "Antiphon"

Json = dict[str, Any]


def list_models(catalog: Catalog, query: dict[str, list[str]]) -> Json:
    """`query` may ask for one provider, output, customization or kind of inference; here they are the same for all."""
    is_asked_for = (
        query.get("byProvider", [_PROVIDER])[0].lower() == _PROVIDER.lower()
        and query.get("byOutputModality", ["TEXT"]) == ["TEXT"]
        and query.get("byInferenceType", ["ON_DEMAND"]) == ["ON_DEMAND"]
        and "byCustomizationType" not in query
    )
    return {"modelSummaries": [_model(model, model.id) for model in catalog.models] if is_asked_for else []}


def describe_model(catalog: Catalog, name: str) -> Json:
    """Raises 404."""
    return {"modelDetails": _model(catalog.resolve(name), name)}


def list_profiles(catalog: Catalog, query: dict[str, list[str]]) -> Json:
    is_asked_for = query.get("type", ["SYSTEM_DEFINED"]) == ["SYSTEM_DEFINED"]
    profiles = [_profile(model, model.id) for model in catalog.models] if is_asked_for else []
    return {"inferenceProfileSummaries": profiles}


def describe_profile(catalog: Catalog, name: str) -> Json:
    """Raises 404."""
    return _profile(catalog.resolve(name), name)


def _model(model: Model, name: str) -> Json:
    return {
        "modelArn": _model_arn(model),
        "modelId": name,
        "modelName": model.id,
        "providerName": _PROVIDER,
        "inputModalities": ["TEXT"],
        "outputModalities": ["TEXT"],
        "responseStreamingSupported": True,
        "customizationsSupported": [],
        "inferenceTypesSupported": ["ON_DEMAND"],
        "modelLifecycle": {"status": "ACTIVE"},
    }


def _profile(model: Model, name: str) -> Json:
    made = rfc3339(model.spec.created_at)
    return {
        "inferenceProfileName": model.id,
        "inferenceProfileId": name.rpartition("/")[2],
        "inferenceProfileArn": f"{_ARN}{_ACCOUNT}:inference-profile/{name.rpartition('/')[2]}",
        "models": [{"modelArn": _model_arn(model)}],
        "status": "ACTIVE",
        "type": "SYSTEM_DEFINED",
        "createdAt": made,
        "updatedAt": made,
    }


def _model_arn(model: Model) -> str:
    return f"{_ARN}:foundation-model/{model.id}"
