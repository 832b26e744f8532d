"""Help pages: the text, the arguments, the command's own options, the shared ones, and examples as they stand."""

from __future__ import annotations

import inspect
import re
from typing import Any

from typer.core import TyperCommand

_EXAMPLES = "Examples:\n"
ORDER = "mvgen.order"  # in a context's meta: the names of its options as often, and in the order, as they were given


class HelpfulCommand(TyperCommand):
    """A command whose docstring may end with ``Examples:`` and lines that keep their breaks."""

    shared: frozenset[str] = frozenset()

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.meta[ORDER] = tuple(str(param.name) for param in self.make_parser(ctx).parse_args(list(args))[2])
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return [piece.replace("{", "").replace("}", "") for piece in super().collect_usage_pieces(ctx)]

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        whole, self.help = self.help, inspect.cleandoc(self.help or "").partition(_EXAMPLES)[0].rstrip()
        super().format_help_text(ctx, formatter)
        self.help = whole

    def format_options(self, ctx: Any, formatter: Any) -> None:
        params = [p for p in self.get_params(ctx) if p.get_help_record(ctx)]
        own = [p for p in params if p.name not in self.shared and p.name != "help"]
        sections = {
            "Arguments": [p for p in own if p.param_type_name == "argument"],
            "Options": [p for p in own if p.param_type_name == "option"],
            "Options of every command": [p for p in params if p not in own],
        }
        for title, members in sections.items():
            if members:
                with formatter.section(title):
                    formatter.write_dl([_record(p, ctx) for p in members])

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        examples = inspect.cleandoc(self.help or "").partition(_EXAMPLES)[2]
        if examples:
            with formatter.section("Examples"):
                for line in inspect.cleandoc(examples).splitlines():
                    formatter.write(f"{'':{formatter.current_indent}}{line}".rstrip() + "\n")


def _record(param: Any, ctx: Any) -> tuple[str, str]:
    """A parameter's name and help, without the type beside an argument or the brackets around a default in words."""
    name, text = param.get_help_record(ctx)
    if param.param_type_name == "argument":
        name = name.partition(" <")[0]
    return name, re.sub(r"\[default: \((.*)\)", r"[default: \1", text)
