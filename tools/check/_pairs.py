"""Which estimate belongs to which reference."""

from ...engine.declare import Choice

MATCH = Choice("MATCH", "Match by", default="assignment", options={
    "assignment": "Best assignment", "name": "Name"},
    help="Best assignment pairs them so that their errors add up to the least, for endmembers without names of their "
         "own; it is the kindest to the result. Name pairs equal names, whatever their case. Default assignment.")


def pairs(job, by, names, estimates, cost):
    """
    Pairs of positions (reference, estimate), in the reference's order. What has no partner is said in the log.

    Parameters
    ----------
    by : str
        An option of `MATCH`.
    names, estimates : lists of P and of Q str
        Of the references and of what is compared with them.
    cost : ndarray (P, Q)
        Error of every pair.

    Raises
    ------
    UserError
        No name in common.
    """
    from ...engine.sentences import UserError
    found = _by_name(names, estimates) if by == "name" else _by_cost(cost)
    if not found:
        raise UserError("No name is in both: the reference has {names}, and compared with it are {estimates}. "
                        "Rename them alike, or match by best assignment.", names=", ".join(names),
                        estimates=", ".join(estimates))
    for what, used in ((names, {p for p, _ in found}), (estimates, {q for _, q in found})):
        left = [name for position, name in enumerate(what) if position not in used]
        if left:
            job.say("Without a partner, so not compared: {names}.", names=", ".join(left))
    return found


def _by_name(names, estimates):
    places = {name.strip().casefold(): q for q, name in reversed(list(enumerate(estimates)))}
    return [(p, places[name.strip().casefold()]) for p, name in enumerate(names) if name.strip().casefold() in places]


def _by_cost(cost):
    from ...algorithms.check.metrics import assign
    if cost.shape[0] > cost.shape[1]:
        return sorted((int(p), q) for q, p in enumerate(assign(cost.T)))
    return [(p, int(q)) for p, q in enumerate(assign(cost))]
