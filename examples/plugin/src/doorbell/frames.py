"""A command: which frames of a video a stream would see."""

from __future__ import annotations

import typer

from hermes_stream.cli.opening import open_video
from hermes_stream.cli.option_groups import expand_options
from hermes_stream.cli.options import JsonOption, SourceOptions, VideoArgument
from hermes_stream.cli.output import clock, print_json


@expand_options
def frames(*, video: VideoArgument, reading: SourceOptions, json: JsonOption = False) -> None:
    """List the frames that are sampled from a video."""
    source = open_video(video, reading)
    times = [frame.pts_seconds for frame in source]
    if json:
        print_json({"video": video, "times_seconds": times})
    else:
        typer.echo("\n".join(clock(seconds) for seconds in times))
