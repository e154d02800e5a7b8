"""What the benchmarks found beside their peers, in a line each."""


def pytest_terminal_summary(terminalreporter, config):
    """Print every benchmark's extra figures; pytest-benchmark shows them in JSON only."""
    session = getattr(config, "_benchmarksession", None)
    found = [(b.name, b.extra_info) for b in getattr(session, "benchmarks", []) if b.extra_info]
    if found:
        terminalreporter.section("measured beside the peer")
    for name, figures in found:
        terminalreporter.write_line(name)
        for key, value in figures.items():
            terminalreporter.write_line(f"    {key}: {value}")
