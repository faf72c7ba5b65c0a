"""Values between a Keras model and a bundle, by name, with every shape checked first.

Reading and assigning import no Keras: any object will do whose `variables` have `path`, `shape`,
`numpy()` and `assign()`.
"""

from typing import Any

import numpy as np

from augan.bundle.bundle import Bundle, Network, bundle_errors
from augan.exceptions import BundleError, ConfigError

# The state of a dropout layer's random numbers belongs to a run, not to the network. Its path is
# numbered by process, and its dtype differs between backends: only this ending tells it.
_SEED_STATE = "seed_generator_state"
LEAST_VALUES = 1000  # that a network may have, however few are saved


def _variables(model: Any) -> dict[str, Any]:
    """Return path -> variable, ordered by path."""
    found: dict[str, Any] = {}
    for variable in model.variables:
        path = str(variable.path)
        if path.rsplit("/", 1)[-1] == _SEED_STATE:
            continue
        if path in found:
            raise BundleError(
                f"two variables of {_name(model)} are called {path!r}, expected unique names; "
                "give each layer a name of its own"
            )
        found[path] = variable
    return {path: found[path] for path in sorted(found)}


def _name(model: Any) -> str:
    return str(getattr(model, "name", type(model).__name__))


def read_weights(model: Any) -> dict[str, np.ndarray]:
    """Return copies of all values of `model`, keyed and ordered by variable path.

    States of seed generators are left out.

    Raises
    ------
    BundleError
        If two variables have one path.
    """
    return {path: np.array(variable.numpy()) for path, variable in _variables(model).items()}


def assign_weights(model: Any, network: Network) -> None:
    """Set the values of `model` to those of `network`: all of them or, on any difference, none.

    Raises
    ------
    BundleError
        If the paths or shapes of the variables are not exactly those saved.
    """
    variables = _variables(model)
    differences = []
    for path in sorted(variables.keys() | network.weights.keys()):
        if path not in network.weights:
            differences.append(f"{path} is not in the bundle")
        elif path not in variables:
            differences.append(f"{path} is not in the network")
        else:
            saved, built = np.shape(network.weights[path]), tuple(variables[path].shape)
            if saved != built:
                differences.append(f"{path} has shape {saved} in the bundle and {built} here")
    if differences:
        more = f" and {len(differences) - 3} more" if len(differences) > 3 else ""
        raise BundleError(
            f"the saved weights do not fit the {_name(model)}: {'; '.join(differences[:3])}{more}; "
            "load the bundle with the augan version that wrote it, or train again"
        )
    for path, variable in variables.items():
        variable.assign(network.weights[path])


def restore_network(bundle: Bundle, name: str) -> Any:
    """Build the network called `name` from its spec and give it its weights.

    Returns
    -------
    keras.Model
        Imports TensorFlow, as nothing else in this room does.

    Raises
    ------
    BundleError
        If the bundle has no such network, its spec is unknown, or the weights do not fit it.
    """
    from augan.gan.networks.registry import build_network

    if name not in bundle.networks:
        held = ", ".join(bundle.networks) or "none"
        raise BundleError(f"{bundle.path or 'this bundle'} has no {name}; its networks are: {held}")
    network = bundle.networks[name]
    with bundle_errors(bundle, name):
        try:
            model = build_network(
                network.spec, max_variable_size=max(network.parameters, LEAST_VALUES)
            )
        except ConfigError as error:
            raise BundleError(f"{bundle.path or 'this bundle'}: {error}") from error
        assign_weights(model, network)
    return model
