"""The dates of a simulated series."""


def regular_dates(job, start, interval, count):
    """The dates of `count` images, from the values of the parameters `start` and `interval` on."""
    from datetime import timedelta

    from ...engine.dates import LAST, parse
    from ...engine.sentences import UserError
    first, days = parse(job.value(start)), job.value(interval)
    if first is None:
        raise UserError("{value} in {label} is no date. Write it as 2020-05-01, with or without a time "
                        "(2020-05-01T10:30).", value=job.value(start), label=start.label)
    if first.year + count * days / 365 >= LAST:
        raise UserError("{count} dates {days} days apart from {first} on end after the year {last}. Choose fewer "
                        "dates, shorter intervals or an earlier start.", count=count, days=days,
                        first=job.value(start), last=LAST)
    return [first + number * timedelta(days=days) for number in range(count)]
