"""Draws a flame graph as SVG, from counted stacks. It has no script, so every program that shows images can show it."""

import html
from collections import Counter
from dataclasses import dataclass, field

WIDTH = 1200
ROW_HEIGHT = 17
CHARACTER_WIDTH = 6.6
PALETTE = {"relay/": "#f28e2b", "twisted/": "#76b7b2", "msgspec": "#59a14f", "": "#bab0ac"}


@dataclass
class Frame:
    """One box: samples in it and above it."""

    name: str
    count: int = 0
    children: dict[str, "Frame"] = field(default_factory=dict)


def flame_graph(stacks: Counter[str], title: str, smallest_share: float = 0.003) -> str:
    """Stacks (`outer;inner`, with counts) as nested boxes, widest first; boxes below `smallest_share` are left out."""
    root = Frame("all")
    for stack, count in stacks.items():
        frame = root
        frame.count += count
        names = stack.split(";")
        # What starts the reactor is at the bottom of every stack and says nothing.
        loop = next((place for place, name in enumerate(names) if name.startswith("ReactorBase.mainLoop")), -1)
        for name in names[loop + 1 :]:
            frame = frame.children.setdefault(short(name), Frame(short(name)))
            frame.count += count
    boxes: list[str] = []
    deepest = _draw(root, 0.0, 0, root.count or 1, smallest_share, boxes)
    height = (deepest + 2) * ROW_HEIGHT + 8
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'font-family="monospace" font-size="11">\n<rect width="100%" height="100%" fill="#fffdf8"/>\n'
        f'<text x="6" y="13" font-weight="bold">{html.escape(title)}</text>\n' + "\n".join(boxes) + "\n</svg>\n"
    )


def short(name: str) -> str:
    """`receive (relay/smpp/session.py)` for py-spy's `receive (/long/way/relay/smpp/session.py:123)`."""
    function, _, place = name.partition(" (")
    path = place.rstrip(")").rpartition(":")[0] if ":" in place else place.rstrip(")")
    for start in ("site-packages/", "/relay/"):
        if start in path:
            path = path[path.index(start) :].removeprefix("site-packages/").lstrip("/")
    return f"{function} ({path})" if path else function


def _draw(frame: Frame, x: float, depth: int, samples: int, smallest: float, boxes: list[str]) -> int:
    """Draws a frame's children below it; gives the depth of the deepest."""
    deepest = depth
    for child in sorted(frame.children.values(), key=lambda child: -child.count):
        width = WIDTH * child.count / samples
        if child.count / samples < smallest:
            continue
        y = (depth + 1) * ROW_HEIGHT + 4
        colour = next(colour for part, colour in PALETTE.items() if part in child.name)
        room = int(width / CHARACTER_WIDTH)
        label = html.escape(child.name if len(child.name) <= room else child.name[: max(0, room - 1)])
        tip = html.escape(f"{child.name}: {100 * child.count / samples:.1f} %")
        boxes.append(
            f'<g><title>{tip}</title><rect x="{x:.1f}" y="{y}" width="{max(0.5, width - 0.5):.1f}" '
            f'height="{ROW_HEIGHT - 1}" rx="2" fill="{colour}"/>'
            + (f'<text x="{x + 3:.1f}" y="{y + 12}">{label}</text>' if room > 3 else "")
            + "</g>"
        )
        deepest = max(deepest, _draw(child, x, depth + 1, samples, smallest, boxes))
        x += width
    return deepest
