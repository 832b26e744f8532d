"""Splats blended by the kernel, against the plain reference and what must hold of any picture."""

import numba
import numpy as np
import pytest
import torch

from mvgen.kernels.splatting import blend, draw, harmonics_basis, harmonics_colours, project, rotations
from mvgen.kernels.splatting_reference import blend_reference

HEIGHT, WIDTH = 45, 70


def splats(count, dtype, seed=0, size=-1.5):
    """Random splats, every kind of trouble among them: flat ones, behind the camera, beside the picture, opaque."""
    random = np.random.default_rng(seed)
    means, scales = random.normal(0, 1.2, (count, 3)), random.normal(size, 0.6, (count, 3))
    logits = random.normal(0, 2.5, count)
    if count >= 16:
        scales[0:3, 1] = -20
        means[3] = [0, 0, -7]
        means[4:6] = [[30, 0, 0], [0, 0, -3.999]]
        logits[6:9], logits[9] = 40, -40
        means[10] = means[11]
    values = means, random.normal(0, 1, (count, 4)), scales, logits, random.normal(0, 0.3, (count, 16, 3))
    return [torch.tensor(v, dtype=dtype, requires_grad=True) for v in values]


def camera(dtype):
    pose = torch.eye(4, dtype=dtype)
    pose[2, 3] = 4
    return pose, torch.tensor([[65.0, 0, WIDTH / 2], [0, 62, HEIGHT / 2], [0, 0, 1]], dtype=dtype)


def picture(scene, draw, pose=None, antialiased=False):
    means, quaternions, scales, logits, harmonics = scene
    pose, lens = camera(means.dtype)[0] if pose is None else pose, camera(means.dtype)[1]
    flat = project(means, quaternions, scales, logits, pose, lens, HEIGHT, WIDTH, antialiased)
    centre = -pose[:3, :3].T @ pose[:3, 3]
    return draw(flat, harmonics_colours(harmonics, means, centre), HEIGHT, WIDTH)


def with_gradients(scene, draw, **options):
    out, light = picture(scene, draw, **options)
    random = torch.Generator().manual_seed(5)
    weights = torch.randn(HEIGHT, WIDTH, 4, generator=random, dtype=out.dtype)
    loss = (out * weights[..., :3]).sum() + (light * weights[..., 3]).sum()
    return out, light, torch.autograd.grad(loss, scene)


@pytest.mark.parametrize("antialiased", [False, True])
@pytest.mark.parametrize("seed", [0, 1])
def test_in_float64_kernel_and_reference_agree(seed, antialiased):
    scene = splats(60, torch.float64, seed)
    ours = with_gradients(scene, blend, antialiased=antialiased)
    plain = with_gradients(scene, blend_reference, antialiased=antialiased)
    assert torch.allclose(ours[0], plain[0], rtol=0, atol=1e-9) and torch.allclose(ours[1], plain[1], rtol=0, atol=1e-9)
    for one, other in zip(ours[2], plain[2]):
        assert torch.allclose(one, other, rtol=1e-9, atol=1e-9 * float(other.abs().max()))


def test_in_float32_hardly_a_pixel_differs():
    scene = splats(300, torch.float32, 3, size=-2.0)
    ours, plain = with_gradients(scene, blend), with_gradients(scene, blend_reference)
    off = (ours[0] - plain[0]).abs().amax(-1)
    assert (off < 1e-5).float().mean() >= 0.999 and off.max() < 1 / 255
    for one, other in zip(ours[2], plain[2]):
        assert float((one - other).norm() / other.norm()) < 1e-4


def test_gradients_are_those_of_finite_differences():
    scene = splats(5, torch.float64, 2, size=-0.5)

    def seen(*values):
        return picture(values, blend)

    assert torch.autograd.gradcheck(seen, scene, eps=1e-6, atol=1e-4, nondet_tol=0, fast_mode=True)


def test_nothing_shows_what_is_behind():
    out, light = picture(splats(0, torch.float32), blend)
    assert (out == 0).all() and (light == 1).all()
    for gradient in with_gradients(splats(0, torch.float32), blend)[2]:
        assert len(gradient) == 0


def test_the_nearest_comes_first_and_light_is_used_up_once():
    means = torch.tensor([[0.0, 0, 1], [0, 0, 0], [0, 0, 2]], dtype=torch.float64)
    scene = [means, torch.tensor([[1.0, 0, 0, 0]] * 3).double(), torch.zeros(3, 3).double(), torch.zeros(3).double()]
    pose, lens = camera(torch.float64)
    flat = project(*scene, pose, lens, HEIGHT, WIDTH)
    out, light = blend(flat, torch.eye(3, dtype=torch.float64), HEIGHT, WIDTH)
    middle = out[HEIGHT // 2, WIDTH // 2]
    assert middle[1] > middle[0] > middle[2] > 0
    assert torch.allclose(out.sum(-1) + light, torch.ones(HEIGHT, WIDTH, dtype=torch.float64), atol=1e-12)


def test_a_ball_seen_far_away_has_its_size():
    """Of a splat of scale s at depth z, the variance is (f s / z)^2 and the low pass."""
    scene = [torch.zeros(1, 3), torch.tensor([[1.0, 0, 0, 0]]), torch.full((1, 3), np.log(0.2)), torch.zeros(1)]
    scene = [value.double() for value in scene]
    pose, lens = camera(torch.float64)
    conic = project(*scene, pose, lens, HEIGHT, WIDTH).conics[0]
    assert 1 / conic[0] == pytest.approx((65 * 0.2 / 4) ** 2 + 0.3) and 1 / conic[2] == pytest.approx(
        (62 * 0.2 / 4) ** 2 + 0.3
    )


def test_world_and_camera_turned_together_look_the_same():
    scene = [value.detach() for value in splats(80, torch.float64, 7)]
    scene[4] = scene[4][:, :1]
    turn = rotations(torch.tensor([[0.3, -0.5, 0.7, 0.2]], dtype=torch.float64))[0]
    quaternion = torch.nn.functional.normalize(torch.tensor([0.3, -0.5, 0.7, 0.2], dtype=torch.float64), dim=0)
    pose = camera(torch.float64)[0]
    turned_pose = pose.clone()
    turned_pose[:3, :3] = pose[:3, :3] @ turn.T
    turned = [scene[0] @ turn.T, multiplied(quaternion, scene[1]), *scene[2:]]
    one, other = picture(scene, blend), picture(turned, blend, turned_pose)
    assert torch.allclose(one[0], other[0], atol=1e-9)


def multiplied(one, others):
    w, v = one[0], one[1:]
    ow, ov = others[:, :1], others[:, 1:]
    real = w * ow - (ov * v).sum(1, keepdim=True)
    return torch.cat([real, w * ov + ow * v + torch.linalg.cross(v.expand_as(ov), ov)], 1)


def test_harmonics_are_orthonormal():
    random = torch.Generator().manual_seed(0)
    directions = torch.randn(200_000, 3, generator=random, dtype=torch.float64)
    basis = harmonics_basis(directions, 16)
    gram = 4 * np.pi * basis.T @ basis / len(directions)
    assert torch.allclose(gram, torch.eye(16, dtype=torch.float64), atol=0.03)


def test_any_number_of_threads_gives_the_same():
    scene = splats(200, torch.float32, 4)
    several = with_gradients(scene, blend)
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        single = with_gradients(scene, blend)
    finally:
        numba.set_num_threads(before)
    assert torch.equal(several[0], single[0])
    assert all(torch.equal(one, other) for one, other in zip(several[2], single[2]))


@pytest.mark.gpu
@pytest.mark.parametrize("count", [0, 300])
@pytest.mark.parametrize("channels", [3, 7, 20])
def test_on_a_gpu_hardly_a_pixel_differs(count, channels):
    scene = splats(count, torch.float32, 3, size=-2.0)
    scene[4] = torch.rand(count, channels, generator=torch.Generator().manual_seed(0)).requires_grad_()
    found = []
    for device in ("cpu", "cuda"):
        there = [value.detach().to(device).requires_grad_() for value in scene]
        pose, lens = (value.to(device) for value in camera(torch.float32))
        out, light = draw(*there, pose, lens, HEIGHT, WIDTH)
        weights = torch.linspace(-1, 1, out.numel(), device=device).reshape(out.shape)
        loss = (out * weights).sum() + (light * weights[..., 0]).sum()
        found.append([value.cpu() for value in (out, light, *torch.autograd.grad(loss, there))])
    off = (found[0][0] - found[1][0]).abs().amax(-1)
    assert (off < 1e-4).float().mean() >= 0.999 and off.max() < 1 / 255
    for one, other in zip(*(values[2:] for values in found)):
        assert float((one - other).norm()) <= 1e-3 * float(other.norm())


def test_what_is_no_number_is_not_drawn():
    scene = [value.detach() for value in splats(20, torch.float32)]
    scene[0][12], scene[2][13], scene[3][14] = float("nan"), float("inf"), float("nan")
    out, light = picture(scene, blend)
    assert torch.isfinite(out).all() and torch.isfinite(light).all()
    with pytest.raises(ValueError, match="0 x 4"):
        blend(project(*scene[:4], *camera(torch.float32), HEIGHT, WIDTH), scene[0], 4, 0)
