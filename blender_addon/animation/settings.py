"""What the expressions' panel remembers, one a scene (`Scene.id3d_expressions`)."""

import bpy
from bpy.props import FloatProperty, PointerProperty, StringProperty

from ..heads import active_head, expression_keys
from .names import EXPRESSIONS
from .values import blended, write


def _blend(settings: "ID3D_PG_expressions", context: bpy.types.Context) -> None:
    """Dragging the factor moves the face."""
    head = active_head(context)
    if head is not None and {settings.first, settings.second} <= {key.name for key in expression_keys(head)}:
        write(head, blended(settings.first, settings.second, settings.factor), context.scene)


class ID3D_PG_expressions(bpy.types.PropertyGroup):
    """Favourites and the blend."""

    favourites: StringProperty(
        name="Favourites",
        default="\n".join(EXPRESSIONS),
        description="Shape keys at the top of the panel, one a line",
    )
    first: StringProperty(name="From", default="smile", description="Expression at factor 0")
    second: StringProperty(name="To", default="anger", description="Expression at factor 1")
    factor: FloatProperty(
        name="Blend",
        min=0.0,
        max=1.0,
        subtype="FACTOR",
        update=_blend,
        description="Sets the two expressions' sliders: all of the first at 0, all of the second at 1",
    )

    def names(self) -> list[str]:
        """The favourites."""
        return self.favourites.split("\n") if self.favourites else []

    def toggle(self, name: str) -> None:
        """Add a favourite at the end, or take it away."""
        names = self.names()
        self.favourites = "\n".join(
            [*names, name] if name not in names else [other for other in names if other != name]
        )


CLASSES = (ID3D_PG_expressions,)


def attach() -> None:
    """Add `Scene.id3d_expressions`."""
    bpy.types.Scene.id3d_expressions = PointerProperty(type=ID3D_PG_expressions)


def detach() -> None:
    """Undo `attach`."""
    del bpy.types.Scene.id3d_expressions
