"""A bar chart of ratios as SVG, drawn without any library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

SHOWN = (
    ("small_json_rps", "small JSON, requests a second"),
    ("answers_64kib_rps", "64 KiB answers, requests a second"),
    ("uploads_1mib_rps", "1 MiB uploads, requests a second"),
    ("websocket_echo_rps", "WebSocket echo, round trips a second"),
    ("small_json_cpu_us", "CPU per request"),
    ("added_at_half_rate_p99_ms", "added p99 at half load"),
    ("idle_1000_connections_kib", "memory of 1,000 idle connections"),
)
COLOURS = ("#4878a8", "#68a868", "#c8a038", "#a85868")
BAR, GAP, LEFT, SCALE, LONGEST = 12, 14, 270, 130, 3.0


def bars(
    ratios: Mapping[str, Mapping[str, float]], peers: Sequence[str], less_is_better: tuple[str, ...]
) -> str:
    """Router divided by each peer; the line is at 1. Bars longer than 3 are cut and say their number."""
    rows: list[str] = []
    top = 50
    for key, title in SHOWN:
        if key not in ratios:
            continue
        note = " (less is better)" if key.endswith(less_is_better) else ""
        rows.append(f'<text x="{LEFT - 8}" y="{top + 14}" text-anchor="end">{title}</text>')
        rows.append(
            f'<text x="{LEFT - 8}" y="{top + 28}" text-anchor="end" fill="#777">{note.strip()}</text>'
        )
        for index, peer in enumerate(peers):
            value = ratios[key].get(peer, 0.0)
            width = min(value, LONGEST) * SCALE
            y = top + index * BAR
            colour = COLOURS[index % len(COLOURS)]
            rows.append(
                f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR - 2}" fill="{colour}"/>'
            )
            rows.append(f'<text x="{LEFT + width + 4:.1f}" y="{y + 9}">{value:.2f}</text>')
        top += len(peers) * BAR + GAP
    legend = "".join(
        f'<rect x="{LEFT + index * 110}" y="14" width="10" height="10" fill="{COLOURS[index % len(COLOURS)]}"/>'
        f'<text x="{LEFT + index * 110 + 14}" y="23">router / {peer}</text>'
        for index, peer in enumerate(peers)
    )
    one = LEFT + SCALE
    line = f'<line x1="{one}" y1="40" x2="{one}" y2="{top}" stroke="#333" stroke-dasharray="3 3"/>'
    size = f'width="{LEFT + LONGEST * SCALE + 60:.0f}" height="{top + 10}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="11">'
        f'<rect width="100%" height="100%" fill="white"/>{legend}{line}{"".join(rows)}</svg>\n'
    )
