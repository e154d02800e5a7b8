"""Which file a data key means, by a run's documents in whatever order."""

from rankaae_stream.layouts.assets import Assets


def test_of_a_point_that_was_taken_again_the_later_file_counts():
    assets = Assets()
    for name in ("first", "second"):
        resource = {"spec": "APB", "root": "/data", "resource_path": f"{name}.bin"}
        datum = {"resource": name, "datum_id": [f"{name}/0"], "datum_kwargs": {}}
        page = {"descriptor": "d", "uid": [name], "seq_num": [1], "data": {"apb": [f"{name}/0"]}}
        assets.feed("event_page", page)
        assets.feed("datum_page", datum)
        assets.feed("resource", {"uid": name, **resource})
    assert assets.of("apb").path == "second.bin"
