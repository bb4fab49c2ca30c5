"""What holds for every file in `losses/`: a new loss is tested by existing."""

import inspect
import math

import pytest
import torch

from core.config import plugins

NAMES = plugins.names("losses")
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
HALVES = [torch.float16, torch.bfloat16]


def arguments(loss, n: int) -> list[torch.Tensor]:
    """What the loss is called with, told by the names of its parameters: two views or assignments if nothing is said.

    Rows are those of an assignment: fit for losses of features, which take anything, as well.
    """
    generator = torch.Generator().manual_seed(n)
    found = []
    for name in inspect.signature(loss).parameters:
        if name == "labels":
            found.append(torch.randint(-1, 3, (n,), generator=generator))
        else:
            rows = 3 if name == "centroids" else n
            found.append(torch.randn(rows, 4, generator=generator).softmax(dim=1).requires_grad_())
    return found


def changed(values, change) -> list[torch.Tensor]:
    """The same arguments, those of floats after a change, and to be differentiated by again."""
    return [change(one.detach()).requires_grad_() if one.is_floating_point() else change(one) for one in values]


def floats(values) -> list[torch.Tensor]:
    return [one for one in values if one.is_floating_point()]


def gradients(value, values, **options) -> tuple[torch.Tensor, ...]:
    return torch.autograd.grad(value, floats(values), allow_unused=True, materialize_grads=True, **options)


def options(name) -> list[dict]:
    """A loss's own options, and where it has a temperature one at which float16 would overflow: exp(100)."""
    made = plugins.load("losses", name)
    return [{}, {"temperature": 0.01}] if "temperature" in inspect.signature(made).parameters else [{}]


WITH_OPTIONS = [(name, one) for name in NAMES for one in options(name)]


def reordered(loss, values: list[torch.Tensor]) -> list[torch.Tensor]:
    """The batch the other way round; centroids are not of the batch."""
    names = inspect.signature(loss).parameters
    return [value if name == "centroids" else value.flip(0) for name, value in zip(names, values, strict=True)]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n", [1, 2, 6])
def test_scalar_finite_and_differentiable_for_any_batch(name, n):
    loss = plugins.load("losses", name)()
    values = arguments(loss, n)
    value = loss(*values)
    assert value.shape == ()
    assert math.isfinite(value.item())
    inputs = [one for one in values if one.requires_grad]
    gradients = torch.autograd.grad(value, inputs, allow_unused=True, materialize_grads=True)
    assert all(torch.isfinite(one).all() for one in gradients)


@pytest.mark.parametrize("name", NAMES)
def test_it_does_not_depend_on_the_order_of_the_batch(name):
    loss = plugins.load("losses", name)()
    values = arguments(loss, 6)
    assert loss(*values).item() == pytest.approx(loss(*reordered(loss, values)).item(), abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_docstrings_give_shapes_and_a_source(name):
    module = inspect.getmodule(plugins.load("losses", name))
    functions = [one for one in vars(module).values() if inspect.isfunction(one) and one.__module__ == module.__name__]
    documented = " ".join(inspect.getdoc(one) or "" for one in functions)
    assert "shape (" in documented
    assert "Reference:" in documented


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("half", HALVES, ids=str)
@pytest.mark.parametrize(("name", "given"), WITH_OPTIONS, ids=str)
@pytest.mark.parametrize("width", [4, 3, 1])
def test_half_precision_gives_the_loss_and_the_gradient_of_the_same_numbers_in_float32(
    name, given, half, width, device
):
    loss = plugins.load("losses", name)(**given)
    cut = [one[:, :width] if one.is_floating_point() else one.clamp_max(width - 1) for one in arguments(loss, 6)]
    # Lengths whose squares are beyond float16, where lengths do not count.
    longer = (
        300
        if name in {"nt-xent", "info-nce", "cosine", "byol", "prototype-scattering", "boosted", "multiview-contrast"}
        else 1
    )
    few = changed(cut, lambda one: (one * longer if one.is_floating_point() else one).to(device))
    few = changed(few, lambda one: one.to(half) if one.is_floating_point() else one)
    same = changed(few, lambda one: one.float() if one.is_floating_point() else one)
    value, expected = loss(*few), loss(*same)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(expected.item(), rel=1e-6, abs=1e-7)
    for one, other in zip(gradients(value, few), gradients(expected, same), strict=True):
        assert one.dtype == half
        assert torch.equal(one, other.to(half))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("half", HALVES, ids=str)
@pytest.mark.parametrize(("name", "given"), WITH_OPTIONS, ids=str)
def test_autocast_changes_neither_the_loss_nor_its_gradient(name, given, half, device):
    loss = plugins.load("losses", name)(**given)
    values = changed(arguments(loss, 6), lambda one: one.to(device))
    expected = loss(*values)
    found = gradients(expected, values)
    with torch.autocast(device, half):
        assert torch.ones(2, 2, device=device).mm(torch.ones(2, 2, device=device)).dtype == half  # it is on
        value = loss(*values)
    assert value.dtype == torch.float32
    assert value.item() == expected.item()
    assert all(torch.equal(one, other) for one, other in zip(gradients(value, values), found, strict=True))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("name", ["nt-xent", "info-nce"])
def test_also_a_gradient_that_is_asked_for_inside_of_autocast_is_exact(name, twice, device):
    loss = plugins.load("losses", name)()
    values = changed(arguments(loss, 6), lambda one: one.to(device))
    expected = gradients(loss(*values), values)
    with torch.autocast(device, torch.bfloat16):
        found = gradients(loss(*values), values, create_graph=twice)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("name", "given"), [one for one in WITH_OPTIONS if one[0] != "student-t"], ids=str)
def test_gradients_can_be_differentiated_again(name, given, device):
    """A penalty on a gradient needs it. (The target of student_t counts as constant, which differences do not know.)"""
    loss = plugins.load("losses", name)(**given)
    values = changed(arguments(loss, 5), lambda one: one.double() if one.is_floating_point() else one)
    values = changed(values, lambda one: one.to(device))
    first = values[0]

    def of_first(one):
        return loss(one, *values[1:])

    assert torch.autograd.gradcheck(of_first, first)
    assert torch.autograd.gradgradcheck(of_first, first)


@pytest.mark.parametrize(("name", "given"), WITH_OPTIONS, ids=str)
def test_a_zero_row_leaves_the_second_derivative_finite(name, given):
    loss = plugins.load("losses", name)(**given)
    values = changed(arguments(loss, 5), lambda one: one.double() if one.is_floating_point() else one)
    values[0].data[1] = 0
    (gradient,) = torch.autograd.grad(loss(*values), values[0], create_graph=True)
    (again,) = torch.autograd.grad(gradient.square().sum(), values[0], allow_unused=True, materialize_grads=True)
    assert torch.isfinite(gradient).all()
    assert torch.isfinite(again).all()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("name", "given"), WITH_OPTIONS, ids=str)
def test_torch_func_gives_the_gradient_that_autograd_gives(name, given, device):
    loss = plugins.load("losses", name)(**given)
    values = changed(arguments(loss, 6), lambda one: one.to(device))
    places = tuple(place for place, one in enumerate(values) if one.is_floating_point())
    expected = gradients(loss(*values), values)
    plain = [one.detach() for one in values]
    found = torch.func.grad(loss, argnums=places)(*plain)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)

    def penalty(one):
        return torch.func.grad(loss)(one, *plain[1:]).square().sum()

    (gradient,) = torch.autograd.grad(loss(*values), values[0], create_graph=True)
    (again,) = torch.autograd.grad(gradient.square().sum(), values[0], allow_unused=True, materialize_grads=True)
    torch.testing.assert_close(torch.func.grad(penalty)(plain[0]), again, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", NAMES)
def test_a_half_precision_step_under_autocast_goes_down(name, device):
    """As a network in float16 has it: its outputs are half precision and the loss stands inside of autocast."""
    loss = plugins.load("losses", name)()
    values = changed(arguments(loss, 6), lambda one: one.to(device))
    with torch.autocast(device, torch.float16):
        halves = changed(values, lambda one: one.half() if one.is_floating_point() else one)
        value = loss(*halves)
        value.backward()
    slope = sum(float(one.grad.float().square().sum()) for one in floats(halves) if one.grad is not None)
    assert math.isfinite(slope)
