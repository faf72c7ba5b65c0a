"""Transfer of weights between Keras models and bundles, by name and with checked shapes.

Reading and assigning do not import Keras: a model is any object with `variables` that have `path`,
`shape`, `numpy()` and `assign()`.
"""

from typing import Any

import numpy as np

from augan.bundle.bundle import Bundle, bundle_errors
from augan.bundle.sections import Network
from augan.exceptions import BundleError, ConfigError

# The random state of a dropout layer belongs to a run, not to the network. Its path is numbered by
# process, and its dtype differs between backends, so the last name identifies it.
_SEED_STATE = "seed_generator_state"
MIN_SIZE_LIMIT = 1000  # values that a network may always have, even if the bundle has fewer


def _variables(model: Any) -> dict[str, Any]:
    """Return the variables of a model by path, sorted by path, without seed generator states."""
    variables: dict[str, Any] = {}
    for variable in model.variables:
        path = str(variable.path)
        if path.rsplit("/", 1)[-1] == _SEED_STATE:
            continue
        if path in variables:
            raise BundleError(
                f"two variables of {_name(model)} are called {path!r}, expected unique names; "
                "give each layer a unique name"
            )
        variables[path] = variable
    return {path: variables[path] for path in sorted(variables)}


def _name(model: Any) -> str:
    """Return the name of a model for messages, or else the name of its class."""
    return str(getattr(model, "name", type(model).__name__))


def read_weights(model: Any) -> dict[str, np.ndarray]:
    """Copy the values of all variables of a model, to save them in a bundle.

    The states of seed generators are left out.

    Parameters
    ----------
    model : keras.Model
        A built model.

    Returns
    -------
    dict of str to ndarray
        Variable path -> value, sorted by path.

    Raises
    ------
    BundleError
        Two variables have the same path.
    """
    return {path: np.array(variable.numpy()) for path, variable in _variables(model).items()}


def assign_weights(model: Any, network: Network) -> None:
    """Set all variables of a built model to saved values, or none if any does not fit.

    Parameters
    ----------
    model : keras.Model
        A built model.
    network : Network
        The saved values.

    Raises
    ------
    BundleError
        The paths or shapes of the variables differ from the saved paths or shapes.
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
    """Build a network of a bundle from its spec, and set its weights; imports TensorFlow.

    Parameters
    ----------
    bundle : Bundle
        A loaded bundle.
    name : str
        A key of `bundle.networks`, such as "generator".

    Returns
    -------
    keras.Model
        The network with the saved weights.

    Raises
    ------
    BundleError
        The bundle has no such network, its spec is unknown, or the weights do not fit.
    """
    from augan.gan.networks.build import build_network

    if name not in bundle.networks:
        names = ", ".join(bundle.networks) or "none"
        raise BundleError(
            f"{bundle.path or 'this bundle'} has no {name}; its networks are: {names}"
        )
    network = bundle.networks[name]
    with bundle_errors(bundle, name):
        try:
            model = build_network(
                network.spec.to_dict(), max_variable_size=max(network.parameters, MIN_SIZE_LIMIT)
            )
        except ConfigError as error:
            raise BundleError(f"{bundle.path or 'this bundle'}: {error}") from error
        assign_weights(model, network)
    return model
