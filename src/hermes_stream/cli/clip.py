"""``hermes clip``: a part of a stream as a video file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hermes_stream.cli.looking_back import RecordOptions, looking_back
from hermes_stream.cli.moments import read_moment
from hermes_stream.cli.option_groups import expand_options
from hermes_stream.cli.options import JsonOption
from hermes_stream.cli.output import print_json, say, size
from hermes_stream.digest.folder import write_whole

NameArgument = Annotated[str, typer.Argument(metavar="STREAM", help="Name of the stream.")]
BeginOption = Annotated[
    str, typer.Option("--from", metavar="TIME", help="In the stream's own time: 90, 1:30, 0:01:30.")
]
EndOption = Annotated[str, typer.Option("--to", metavar="TIME", help="Likewise, at most ten minutes later.")]
OutOption = Annotated[Path, typer.Option(metavar="FILE", help="The video, ending in .mp4.")]


@expand_options
def clip(
    *,
    context: typer.Context,
    stream: NameArgument,
    begin: BeginOption,
    end: EndOption,
    out: OutOption,
    record: RecordOptions,
    json: JsonOption = False,
) -> None:
    """Write a clip of a stream: copied where its source is a file, else made of the frames that are kept."""
    if out.suffix.lower() != ".mp4":
        raise typer.BadParameter(f"{out} must end in .mp4", param_hint="--out")
    times = []
    for text, option in ((begin, "--from"), (end, "--to")):
        try:
            times.append(read_moment(text))
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint=option) from error
    with looking_back(record.typed(context)) as past:
        content = past.clip(stream, *times)
    write_whole(out, content)
    if json:
        print_json({"stream": stream, "path": str(out), "num_bytes": len(content)})
    else:
        say(f"{out}: {size(len(content))}")
