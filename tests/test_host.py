from __future__ import annotations

from hermes_stream.host import host_free_bytes


def test_free_memory_of_a_host_and_its_container(tmp_path):
    assert host_free_bytes(tmp_path) is None
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 100 kB\nMemAvailable:  50 kB\n")
    assert host_free_bytes(tmp_path) == 50 * 1024
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (group / "memory.max").write_text("max\n")
    assert host_free_bytes(tmp_path) == 50 * 1024
    (group / "memory.max").write_text("30000\n")
    (group / "memory.stat").write_text("anon 10000\nfile 15000\n")
    assert host_free_bytes(tmp_path) == 20000
    (tmp_path / "proc/meminfo").write_text("MemTotal: 100 kB\n")
    assert host_free_bytes(tmp_path) is None
