"""Learned filters as files: the state-space model of each component, beside what was learned for it."""

import json

from ._model import LOWEST

NUMBERS = {"RandomWalk": ("level",), "LinearTrend": ("level", "slope"), "Logistic": ("rate", "capacity", "level"),
           "Seasonal": ("level", "season", "period", "harmonics")}


def save(job, output, tool, sequence, model, states, **facts):
    """
    Write a model's file.

    `states` holds a dictionary of arrays for each of the `model`'s components, which say what was learned for it.
    """
    from ...engine import models
    arrays, components = {}, []
    for number, (component, state) in enumerate(zip(model.components, states)):
        forward = component.forward
        kind = type(forward).__name__
        components.append({"kind": kind, **{name: getattr(forward, name) for name in NUMBERS.get(kind, ())}})
        parts = dict(state, R=component.R, x0=component.mean, P0=component.covariance)
        if kind == "LinearOperator":
            parts.update(A=forward.A, rate=forward.rate)
            components[-1]["interval"] = forward.interval
        arrays.update({f"{number}.{name}": array for name, array in parts.items()})
    models.save(job.path(output), tool, sequence.grid, arrays, fractions=model.fractions, names=list(model.bands),
                components=json.dumps(components), levels=json.dumps(model.levels), **facts)


def restore(model, declaration, arrays):
    """Give a `model` the components of a file, and return what was learned for each, a dictionary of arrays."""
    from ...algorithms.state_estimation import model as dynamics
    model.components, states = [], []
    model.levels = [tuple(level) for level in json.loads(declaration["levels"])]
    for number, facts in enumerate(json.loads(declaration["components"])):
        state = {name.split(".", 1)[1]: array for name, array in arrays.items() if name.startswith(f"{number}.")}
        kind = facts.pop("kind")
        if kind == "LinearOperator":
            forward = dynamics.LinearOperator.of_rate(state.pop("A"), state.pop("rate"), facts["interval"])
        else:
            forward = getattr(dynamics, kind)(**facts)
        model.components.append(dynamics.StateSpace(forward, *(state.pop(name) for name in ("R", "x0", "P0"))))
        states.append(state)
    return states


def limits(forward):
    """Between which states of logistic dynamics stay; None for others."""
    capacity = getattr(forward, "capacity", None)
    return None if capacity is None else (LOWEST * capacity, capacity)
