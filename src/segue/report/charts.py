"""The charts of a report, as Vega-Lite with their data inside, and the script that draws them without a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import altair as alt
import vl_convert

from segue.evaluation.measurement import Metrics
from segue.training.epochs import EpochRecord

PALETTE = ("#4c78a8", "#f58518", "#54a24b", "#b279a2", "#e45756", "#72b7b2", "#9d755d", "#d4a81c", "#ff9da6", "#8a8a8a")
"""Colours that are distinct on a light and on a dark ground; the first model gets the first colour in every chart."""

_SNIPPET = "window.vegaEmbed = vegaEmbed;"
_HEIGHT = 240
_ROW_HEIGHT = 18
"""Height of a model's row in a list of many, in pixels: with less, the names run into each other."""
_SVG_WIDTH = 480
_FONT = "system-ui, sans-serif"

Records = Sequence[EpochRecord]
Spec = dict[str, Any]


def colours(labels: Sequence[str]) -> dict[str, str]:
    """A colour for each label; they repeat after ten."""
    return {label: PALETTE[number % len(PALETTE)] for number, label in enumerate(labels)}


def learning_curves(curves: Mapping[str, Records], colour: Mapping[str, str]) -> dict[str, Spec]:
    """Title → chart: the training loss, and HR@10 on validation, by epoch; the chosen epoch is marked.

    Args:
        curves: label → records of ``metrics.jsonl``. A chart without a single value is left out.
    """
    rows = {"Training loss": _losses(curves), "HR@10 on validation, %": _validations(curves)}
    return {title: _curve(values, colour) for title, values in rows.items() if values}


def slice_bars(
    slices: Mapping[str, Mapping[str, Metrics]],
    metric: str,
    colour: Mapping[str, str],
    sizes: Mapping[str, int],
) -> Spec:
    """Bars of one metric, a group for each slice, a bar for each model.

    Args:
        slices: label → slice → its metrics.
        sizes: slice → events, in the order of the axis.
    """
    axis_label = {name: f"{name}|{events:,} events" for name, events in sizes.items()}
    values = [
        {"model": model, "slice": axis_label[name], "value": 100 * by_slice[name][metric]}
        for model, by_slice in slices.items()
        for name in sizes
        if name in by_slice
    ]
    two_lines = alt.Axis(title=None, labelAngle=0, labelExpr="split(datum.label, '|')", ticks=False, domain=False)
    chart = alt.Chart(_inline(values)).mark_bar(cornerRadiusEnd=1)
    chart = chart.encode(
        x=alt.X("slice:N", sort=list(axis_label.values()), axis=two_lines, scale=alt.Scale(paddingInner=0.2)),
        xOffset=alt.XOffset("model:N", sort=list(colour)),
        y=alt.Y("value:Q", title=None, axis=_VALUE_AXIS),
        color=_colour(colour),
        tooltip=[alt.Tooltip("model:N"), alt.Tooltip("value:Q", title=f"{metric}, %", format=".2f")],
    )
    return _finished(chart)


def means(found: Mapping[str, tuple[float, float | None]], metric: str, colour: Mapping[str, str]) -> Spec:
    """A point for each model, with a bar of one standard deviation to both sides where there are seeds to vary.

    Args:
        found: label → mean and standard deviation, as fractions.
    """
    values = [
        {"model": model, "value": 100 * mean, "low": 100 * (mean - (sd or 0)), "high": 100 * (mean + (sd or 0))}
        for model, (mean, sd) in found.items()
    ]
    base = alt.Chart(_inline(values)).encode(
        y=alt.Y("model:N", sort=list(found), axis=alt.Axis(title=None, ticks=False, domain=False, labelLimit=260)),
        color=_colour(colour),
        tooltip=[alt.Tooltip("model:N"), alt.Tooltip("value:Q", title=f"{metric}, %", format=".2f")],
    )
    points = base.mark_point(filled=True, size=90, opacity=1).encode(
        x=alt.X("value:Q", title=None, axis=_VALUE_AXIS, scale=alt.Scale(zero=False))
    )
    chart = base.mark_rule(strokeWidth=2).encode(x="low:Q", x2="high:Q") + points
    return _finished(chart, max(_HEIGHT, _ROW_HEIGHT * len(found)))


def value_line(points: Sequence[tuple[float, float]], title: str) -> Spec:
    """One line through (setting, value) points; the axis shows the settings that were tried and no others."""
    values = [{"x": x, "value": value} for x, value in points]
    tried = alt.Axis(grid=False, values=[x for x, _ in points], format="g")
    base = alt.Chart(_inline(values)).encode(
        x=alt.X("x:Q", title=title, axis=tried, scale=alt.Scale(zero=False, padding=16)),
        y=alt.Y("value:Q", title=None, axis=_VALUE_AXIS, scale=alt.Scale(zero=False)),
        tooltip=[alt.Tooltip("x:Q", title=title), alt.Tooltip("value:Q", format=".2f")],
    )
    line = base.mark_line(strokeWidth=2, color=PALETTE[0])
    return _finished(line + base.mark_point(filled=True, opacity=1, size=60, color=PALETTE[0]))


def svg(spec: Spec) -> str:
    """A chart as an SVG image, on white, of a size of its own."""
    fixed = {**spec, "width": _SVG_WIDTH, "background": "white"}
    return str(vl_convert.vegalite_to_svg(fixed))


@cache
def script() -> str:
    """Vega, Vega-Lite and Vega-Embed in one piece of JavaScript, for all charts of a page."""
    return str(vl_convert.javascript_bundle(_SNIPPET))


_VALUE_AXIS = alt.Axis(ticks=False, domain=False, labelPadding=6)


def _losses(curves: Mapping[str, Records]) -> list[dict[str, Any]]:
    return [_point(label, record, record.loss) for label, records in curves.items() for record in records]


def _validations(curves: Mapping[str, Records]) -> list[dict[str, Any]]:
    return [
        _point(label, record, 100 * record.validation["HR@10"])
        for label, records in curves.items()
        for record in records
        if record.validation
    ]


def _point(label: str, record: EpochRecord, value: float) -> dict[str, Any]:
    """The point of one epoch on a curve."""
    facts = {"epoch": record.epoch, "seconds": record.seconds, "learning_rate": record.learning_rate}
    return {"model": label, "value": value, "best": record.best, **facts}


def _curve(values: list[dict[str, Any]], colour: Mapping[str, str]) -> Spec:
    chosen = {point["model"]: point["epoch"] for point in values if point["best"]}
    points = [{**point, "best": chosen.get(point["model"]) == point["epoch"]} for point in values]
    last = max(point["epoch"] for point in values)
    epochs = alt.Axis(grid=False, format="d", tickMinStep=1, tickCount=min(last, 10))
    base = alt.Chart(_inline(points)).encode(
        x=alt.X("epoch:Q", title="epoch", axis=epochs, scale=alt.Scale(domain=[1, max(last, 2)])),
        y=alt.Y("value:Q", title=None, axis=_VALUE_AXIS, scale=alt.Scale(zero=False)),
        color=_colour(colour),
        tooltip=[
            alt.Tooltip("model:N"),
            alt.Tooltip("epoch:Q"),
            alt.Tooltip("value:Q", format=".4f"),
            alt.Tooltip("seconds:Q", format=",.1f"),
            alt.Tooltip("learning_rate:Q", title="learning rate"),
        ],
    )
    marks = base.mark_point(filled=True, opacity=1).encode(
        size=alt.condition("datum.best", alt.value(130), alt.value(30)),
    )
    return _finished(base.mark_line(strokeWidth=2) + marks)


def _inline(values: list[dict[str, Any]]) -> alt.InlineData:
    return alt.InlineData(values=values)


def _colour(colour: Mapping[str, str]) -> alt.Color:
    """The colour of a chart by model, without a legend: one legend serves all charts of a page."""
    return alt.Color("model:N", scale=alt.Scale(domain=list(colour), range=list(colour.values())), legend=None)


def _finished(chart: alt.Chart | alt.LayerChart, height: int = _HEIGHT) -> Spec:
    styled = chart.properties(width="container", height=height).configure(font=_FONT, background="transparent")
    styled = styled.configure_view(stroke=None)
    styled = styled.configure_axis(labelFontSize=11, titleFontWeight="normal", gridColor="#888", gridOpacity=0.3)
    spec: Spec = styled.to_dict()
    # The address of the schema is all that would name the network; the page says itself that this is Vega-Lite.
    return {key: value for key, value in spec.items() if key != "$schema"}
