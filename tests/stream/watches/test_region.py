"""A region of the picture, and how alike two pictures are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.lives import is_same, streams

from hermes_stream import Frame, Session, load_model
from hermes_stream.stream.watches.likeness import SeenPicture, likeness, newest_picture
from hermes_stream.stream.watches.region import GREY, checked_region, cut_out
from hermes_stream.synthetic.world import generate_world

LEFT = [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]
WORLD = generate_world(3, 26)
FRAMES = list(WORLD.frames(1.0))


@pytest.fixture(scope="module")
def tiny():
    return load_model("tiny", device="cpu")


def picture(height: int = 40, width: int = 80) -> Frame:
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Frame(pts_seconds=1.5, image=image)


def test_a_rectangle_is_cut_out_whole():
    frame = picture()
    cut = cut_out(frame, checked_region(LEFT))
    assert cut.pts_seconds == 1.5
    assert np.array_equal(cut.image, frame.image[:, :40])


def test_around_a_triangle_it_is_grey():
    frame = picture(60, 60)
    cut = cut_out(frame, checked_region([[0, 0], [1, 0], [0, 1]])).image
    row, column = np.indices((60, 60)) + 0.5
    inside = row / 60 + column / 60 < 1
    assert np.array_equal(cut[inside], frame.image[inside])
    assert (cut[~inside & (row + column != 60)] == GREY).all()


def test_a_region_narrower_than_a_pixel_is_one():
    cut = cut_out(picture(), checked_region([[0.999, 0.999], [1, 0.999], [1, 1]]))
    assert cut.image.shape == (1, 1, 3)


@pytest.mark.parametrize(
    "region",
    [[[0, 0], [1, 1]], [[0, 0]] * 33, [[0, 0], [1, 0], [0, 2]], [[0, 0], [1, 1], [0.5, 0.5]], "left"],
)
def test_what_is_no_region_is_refused(tiny, region):
    with pytest.raises(ValueError, match="region must be 3 to 32 points"):
        Session(tiny).watch("is there a circle now?", region=region)


def test_a_watch_of_a_region_sees_what_is_in_it_and_the_memory_stays_whole(tiny):
    watched, alone = (Session(tiny, fps=1, chunk_frames=1) for _ in range(2))
    thing = str(WORLD.appearances[0].thing)
    # the whole picture as a region is the newest picture alone
    whole = watched.watch(f"was there a {thing}?", region=[[0, 0], [1, 0], [1, 1], [0, 1]], name="whole")
    nothing = watched.watch(
        f"was there a {thing}?", region=[[0, 0], [0.02, 0], [0.02, 0.02], [0, 0.02]], name="corner"
    )
    second = int(WORLD.appearances[0].enters_seconds) + 1
    for session in (watched, alone):
        session.observe(FRAMES[: second + 1])
    assert whole.value == "yes"
    assert nothing.value == "no"
    assert whole.stats.num_asked == second + 1
    assert is_same(*streams(watched, alone))
    whole.close()
    nothing.close()
    watched.observe(FRAMES[second + 1 : second + 2])
    assert watched._stream.folding.newest_frames == ()


def test_a_picture_is_like_itself_and_unlike_one_with_something_new(tiny):
    session, seen = Session(tiny, fps=1, chunk_frames=1), []
    for frame in FRAMES[:20]:
        session.observe(frame)
        seen.append(newest_picture(session.cache))
    assert likeness(seen[3], seen[3]) == pytest.approx(1.0)
    # a green circle comes at 16 s
    assert likeness(seen[15], seen[16]) < likeness(seen[14], seen[15])


def test_pictures_that_share_no_place_are_not_alike():
    one = SeenPicture(places=torch.tensor([0, 1]), keys=torch.ones(2, 4))
    other = SeenPicture(places=torch.tensor([2]), keys=torch.ones(1, 4))
    assert likeness(one, other) == 0.0
    assert newest_picture(Session(load_model("tiny", device="cpu")).cache) is None


def test_an_alert_with_the_picture_of_the_last_one_is_grouped(tiny):
    session = Session(tiny, fps=1, chunk_frames=1)
    still = FRAMES[16].image
    # raised and cleared by its schedule of looks: the same picture again and again
    watch = session.watch("is this so?", raise_at=1e-9, clear_at=1e-9, group_above=0.99)
    for second in range(3):
        session.observe(Frame(pts_seconds=float(second), image=still))
        watch.alert = type(watch.alert)()
    assert watch.stats.num_events == 1
    assert watch.stats.num_suppressed == {"grouped": 2}


def test_the_least_alike_places_decide_how_alike_pictures_are():
    places, keys = torch.arange(40), torch.ones(40, 4)
    changed = keys.clone()
    changed[7] = torch.tensor([1.0, -1.0, 1.0, -1.0])
    one, other = (SeenPicture(places=places, keys=each) for each in (keys, changed))
    assert likeness(one, other) == pytest.approx(0.5)  # two of 40 places: one is unlike


def test_a_watch_of_a_region_sees_pictures_whatever_else_is_asked(tiny):
    session = Session(tiny, fps=1, chunk_frames=1)
    left, whole = (session.watch(f"is it {k}?", region=own) for k, own in enumerate((LEFT, None)))
    session.observe(FRAMES[:3])
    assert (left.stats.num_asked, whole.stats.num_asked) == (3, 3)
    session.watch("is it more?", region=LEFT).close()
    session.observe(FRAMES[3:5])
    assert left.stats.num_asked == 5
