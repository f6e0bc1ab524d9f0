"""GLP-HS, the generalised Laplacian pyramid with hypersharpening."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from fusion_scenes import natural, observe, relative, snr

from subpixel.algorithms.fusion.degradation import Box, Gaussian
from subpixel.algorithms.fusion.glphs import glphs


def band_by_band(pair):
    """As the papers say it, one band after the other."""
    low = pair.degrade(pair.msi).reshape(pair.K_M, -1)
    out = []
    for band in pair.hsi:
        x = np.linalg.lstsq(np.vstack([low, np.ones(low.shape[1])]).T, band.ravel(), rcond=None)[0]
        p = np.tensordot(x[:-1], pair.msi, 1) + x[-1]
        p_low = pair.upsample(pair.degrade(p[None]))[0]
        u = pair.upsample(band[None])[0]
        covariance = np.cov(u.ravel(), p_low.ravel())
        out.append(u + covariance[0, 1] / covariance[1, 1] * (p - p_low))
    return np.stack(out)


@pytest.mark.parametrize("boundary", ["symmetric", "circular"])
@pytest.mark.parametrize("ratio, phase", [(4, None), (3, 1.0), (2.5, None)])
def test_it_is_what_the_papers_say(ratio, phase, boundary):
    Z, _, _ = natural(I=30, J=40)
    pair = observe(Z, ratio, noise=0.05, boundary=boundary, phase=phase)
    found = glphs(pair)
    assert np.allclose(found.cube(), band_by_band(pair), atol=1e-10)
    assert found.coefficients.shape == (pair.K + pair.K_M, 30, 40)


def test_a_constant_image_stays_constant():
    pair = observe(np.ones((5, 16, 20)) * np.arange(1, 6)[:, None, None])
    assert np.allclose(glphs(pair).cube(), np.arange(1, 6)[:, None, None], atol=1e-12)


def test_without_detail_in_the_msi_the_hsi_is_interpolated():
    Z, _, _ = natural()
    made = observe(Z)
    flat = type(made)(made.hsi, np.ones_like(made.msi), made.P1, made.P2, made.P3, made.U1, made.U2)
    assert np.allclose(glphs(flat).cube(), made.upsample(made.hsi), atol=1e-12)


def test_at_ratio_one_without_blur_it_is_the_hsi():
    Z, _, _ = natural(K=6)
    pair = observe(Z, 1, 3, Box(1), noise=0.1)
    assert np.allclose(glphs(pair).cube(), pair.hsi, atol=1e-12)


def test_seen_by_the_sensor_it_is_nearly_the_hsi():
    Z, _, _ = natural()
    pair = observe(Z)
    assert snr(pair.hsi, pair.degrade(glphs(pair).cube())) > 30


def test_it_sharpens():
    Z, _, _ = natural()
    pair = observe(Z, noise=0.01)
    assert snr(Z, glphs(pair).cube()) > snr(Z, pair.upsample(pair.hsi)) + 3


def test_bands_may_be_scaled():
    Z, _, _ = natural()
    pair = observe(Z, noise=0.05)
    scaled, s_H, s_M = pair.scaled()
    assert relative(glphs(pair).cube(), glphs(scaled).rescaled(s_H, s_M).cube()) < 1e-12


def test_few_directions_take_less_memory_and_less_noise():
    Z, _, _ = natural()
    pair = observe(Z, noise=0.1)
    found = glphs(pair, 4)
    assert len(found.coefficients) == 4 + pair.K_M
    assert snr(Z, found.cube()) > snr(Z, glphs(pair).cube()) + 1
    assert relative(glphs(pair).cube(), glphs(pair, pair.K).cube()) < 1e-12
    with pytest.raises(ValueError, match="at least 1"):
        glphs(pair, 0)


def test_float32_images_give_a_float32_scene_held_once():
    pair = observe(natural(K=64, I=96, J=100)[0], noise=0.05)
    single = replace(pair, hsi=pair.hsi.astype(np.float32), msi=pair.msi.astype(np.float32))
    for given, size in ((pair, 8), (single, 4)):
        tracemalloc.start()
        found = glphs(given)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert found.coefficients.itemsize == size
        assert peak < found.coefficients.nbytes + 8 * (4 * pair.K_M + 24) * 96 * 100
    assert relative(glphs(pair).cube(), glphs(single).cube()) < 1e-5


def test_alike_msi_bands_do_no_harm():
    Z, _, _ = natural()
    pair = observe(Z, psf=Gaussian(2, 9))
    twice = type(pair)(pair.hsi, pair.msi[[0, 1, 2, 3, 3]], pair.P1, pair.P2, pair.P3[[0, 1, 2, 3, 3]], pair.U1,
                       pair.U2)
    assert relative(glphs(pair).cube(), glphs(twice).cube()) < 1e-9
