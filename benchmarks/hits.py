"""
Hits in a chain of masses: the data of the thesis's experiments 4.3.5, made anew.

G. Chinellato, Deep Unfolding, PhD thesis, Padova 2026, section 4.3.5. Masses 1 to n stand in a row; spring and damper i
join the masses i and i + 1, the last one joins the last mass to the ground. What is heard is the sum of all
displacements. A periodic force (4.3.40) on some masses is the noise, an impulse on one mass the hit to be found, and
the component that this mass belongs to is the answer. k_{24:18} of data set 2 is read as k_{24:28}.

Given there: masses, springs, dampers, which masses are forced and hit, recordings of 1 s that start at least 3 s after
the force with the hit at their beginning, six hits per mass from -40 to 10 dB (data set 2: to 20 dB), 18 (10)
recordings without a hit, what the training and initialisation sets hold. That a recording has n = 8 frames follows from
T = 7 and r_S = 8, since T is the longest T_S and r_S = min(n, T_S + T - 1).

Not given there and chosen here:

- 48 kHz, as of the thesis's recordings of a piano; modes above half of that are not heard.
- Eight frames of 1/8 s, end to end and not tapered: the force's harmonics leak into all frequencies, differently in
  each recording. After Hann windows there is nothing between them (1e-11 of the power, in eight bands), and even a
  dictionary of single frames finds every hit of data set 1 at -50 dB.
- Power spectrograms in 8 bands, nearly octaves, from 100 Hz to 24 kHz. Below, where the slowest modes outweigh all
  others, nothing is heard.
- The signal-to-noise ratio is that of the powers of hit and force in these bands over the whole recording; the six are
  equally spaced. The impulse is scaled to give it. In the initialisation set each hit is at 0 dB.
- Recordings start 3 to 4 s after the force, each at its own time, when its amplitude is 0.99 or more: the force's
  response is taken for periodic, computed at its 25 frequencies. The response to an impulse is exact, by the chain's
  poles.
- Spectrograms are of the sum of both sounds, so that they add only nearly; all are divided by the largest value of the
  force's.
- Of two hits at once each is on one mass of its component, drawn, at the given ratio; five ratios from 20 to -20 dB.

The modes of the printed parameters agree with the printed tables only in part: 12 of the 20 oscillations of Table 1
within 1 %, of Table 2 those above 15 Hz within 10 %.
"""

from dataclasses import dataclass, replace

import numpy as np

RATE = 48000               # samples per second
FRAMES = 8
LENGTH = RATE // FRAMES    # samples in a frame
LOWEST = 100.0             # Hz
FREQUENCIES = 2800.0 * np.arange(1, 26)   # of the force (rad/s)


def blocks(*parts):
    """A vector of values, each so many times: (times, value), ..."""
    return np.concatenate([np.full(times, value) for times, value in parts])


@dataclass(frozen=True)
class Chain:
    """
    Masses (kg), springs (N/m), dampers (N s/m); which masses, counted from 1, are forced and hit, by component.

    `loudest` is the highest ratio (dB), `silent` the number of recordings without a hit.
    """

    m: np.ndarray
    k: np.ndarray
    c: np.ndarray
    forced: tuple
    components: tuple
    loudest: float
    silent: int

    @property
    def masses(self):
        """Every mass to hit."""
        return [mass for component in self.components for mass in component]

    def component_of(self, mass):
        return next(number for number, masses in enumerate(self.components, 1) if mass in masses)

    def matrices(self):
        """Stiffness and damping matrices (n, n)."""
        n = len(self.m)
        stretch = np.eye(n) - np.eye(n, k=1)   # of spring i: x_i - x_{i+1}, the last one x_n
        return stretch.T @ (self.k[:, None] * stretch), stretch.T @ (self.c[:, None] * stretch)

    def poles(self):
        """Poles (2 n,), and their residues (2 n, n) in the sum of displacements after a unit impulse on each mass."""
        K, C = self.matrices()
        n = len(self.m)
        A = np.block([[np.zeros((n, n)), np.eye(n)], [-K / self.m[:, None], -C / self.m[:, None]]])
        poles, V = np.linalg.eig(A)
        return poles, V[:n].sum(axis=0)[:, None] * np.linalg.inv(V)[:, n:] / self.m

    def modes(self):
        """Damped frequency (Hz) and damping ratio of each oscillation, by frequency."""
        poles = self.poles()[0]
        poles = poles[poles.imag > 0]
        poles = poles[np.argsort(poles.imag)]
        return poles.imag / (2 * np.pi), -poles.real / np.abs(poles)

    def hits(self, t):
        """The sum of displacements at times t >= 0 after a unit impulse on each mass (len(t), n), as far as heard."""
        poles, residues = self.poles()
        heard = np.abs(poles.imag) < np.pi * RATE
        return (np.exp(np.outer(t, poles[heard])) @ residues[heard]).real

    def gains(self):
        """Complex amplitude of the sum of displacements under each harmonic (25,) of the force, once periodic."""
        K, C = self.matrices()
        force = np.isin(np.arange(1, len(self.m) + 1), self.forced).astype(float)
        w = FREQUENCIES[:, None, None]
        return np.linalg.solve(K + 1j * w * C - w**2 * np.diag(self.m), force[:, None]).sum(axis=(1, 2))


CHAINS = {
    1: Chain(blocks((8, 2e-4), (4, 1.05), (11, 7.04e-2)),
             blocks((8, 1.36e7), (5, 2e6), (6, 4e8), (4, 8e8)),
             blocks((7, 0.214), (1, 1.1), (4, 3e3), (1, 1.5), (10, 0.15)),
             forced=(10,), components=(tuple(range(1, 9)), tuple(range(14, 24))), loudest=10.0, silent=18),
    2: Chain(blocks((4, 5.25e-2), (2, 1e3), (4, 0.15), (2, 1e3), (4, 0.2), (2, 1e3), (4, 0.25), (2, 1e3), (4, 0.35)),
             blocks((4, 1.27e6), (1, 1e5), (5, 2.2e7), (1, 1e5), (5, 9.6e7), (1, 1e5), (5, 2.25e8), (1, 1e5),
                    (5, 6.3e8)),
             blocks((4, 5.0), (1, 50.0), (5, 7.0), (1, 5.0), (5, 5.0), (1, 50.0), (5, 5.0), (1, 50.0), (5, 7.0)),
             forced=(4, 10, 16, 22, 27), components=((2, 3), (8, 9), (14, 15), (20, 21), (26, 28)), loudest=20.0,
             silent=10)}


@dataclass(frozen=True)
class Hits:
    """
    Recordings as power spectrograms (.., m', n): m' bands, n frames.

    Attributes
    ----------
    X, S, N : ndarray (Q, m', n)
        Recordings, and the hit and the force alone.
    mass, component : ndarray (Q,) of int
        Where the hit was, 0 without one; of pairs (Q, 2).
    snr : ndarray (Q,)
        dB, NaN without a hit; of each hit of a pair.
    training : ndarray of int
        Recordings of the training set: the second loudest and second faintest hit on each mass, all without a hit.
    targets : ndarray (I, m', n)
        Initialisation set: a hit on each mass.
    target_mass, target_component : ndarray (I,) of int
    noise : ndarray (1, m', n)
        Initialisation set: the force alone.
    frequencies : ndarray (m',)
        Middle of each band (Hz).
    """

    X: np.ndarray
    S: np.ndarray
    N: np.ndarray
    mass: np.ndarray
    component: np.ndarray
    snr: np.ndarray
    training: np.ndarray
    targets: np.ndarray
    target_mass: np.ndarray
    target_component: np.ndarray
    noise: np.ndarray
    frequencies: np.ndarray


class Recorder:
    """A chain's recordings in so many bands, everything over the largest value of the force's spectrogram."""

    def __init__(self, chain, bands, rng):
        self.chain, self._rng = chain, rng
        t = np.arange(RATE) / RATE
        edges = np.geomspace(LOWEST, RATE / 2, bands + 1)
        self.frequencies = np.sqrt(edges[1:] * edges[:-1])
        self._bins = np.round(edges * LENGTH / RATE).astype(int)
        self._turns, self._gains = np.exp(1j * np.outer(t, FREQUENCIES)), chain.gains()
        self._hits = dict(enumerate(chain.hits(t).T, 1))
        self._scale = 1.0
        noise = self.spectrogram(self.hum(3.0))
        self._loudness, self._scale = noise.sum(), noise.max()

    def hum(self, start):
        """The sound of the force from a time on."""
        return (self._turns @ (self._gains * np.exp(1j * FREQUENCIES * start))).imag

    def hit(self, masses, snr):
        """The sound of hits on these masses, each at the ratio `snr` (dB)."""
        sound = np.zeros(RATE)
        for mass in masses:
            power = self.spectrogram(self._hits[mass]).sum() * self._scale
            sound += np.sqrt(10**(snr / 10) * self._loudness / power) * self._hits[mass]
        return sound

    def spectrogram(self, sound):
        """Power (m', n) in each band and frame."""
        power = np.abs(np.fft.rfft(sound.reshape(FRAMES, LENGTH)))**2
        return np.add.reduceat(power[:, :self._bins[-1]], self._bins[:-1], axis=1).T / self._scale

    def record(self, masses, snr):
        """Spectrograms X, S, N of a recording with hits on these masses."""
        hum, hit = self.hum(3 + self._rng.uniform()), self.hit(masses, snr)
        return [self.spectrogram(sound) for sound in (hit + hum, hit, hum)]

    def recordings(self, mass, snr, training):
        """`Hits` with hits on the masses (Q, h), 0 for none, at the ratios (Q,)."""
        component = {0: 0} | {one: self.chain.component_of(one) for one in self.chain.masses}
        X, S, N = zip(*(self.record([one for one in row if one], level) for row, level in zip(mass, snr)))
        return Hits(np.array(X), np.array(S), np.array(N), mass, np.vectorize(component.get)(mass), np.asarray(snr),
                    np.asarray(training, dtype=int),
                    np.array([self.spectrogram(self.hit([one], 0.0)) for one in self.chain.masses]),
                    np.array(self.chain.masses), np.array([component[one] for one in self.chain.masses]),
                    self.spectrogram(self.hum(3.0))[None], self.frequencies)


def dataset(number, seed=0, snrs=None, bands=8):
    """
    Data set 1 or 2.

    `snrs` are the ratios (dB) of the hits on each mass; by default six from -40 dB to the thesis's loudest.
    """
    chain = CHAINS[number]
    snrs = np.linspace(-40, chain.loudest, 6) if snrs is None else np.sort(snrs)
    mass = np.r_[np.repeat(chain.masses, len(snrs)), np.zeros(chain.silent, dtype=int)]
    snr = np.r_[np.tile(snrs, len(chain.masses)), np.full(chain.silent, np.nan)]
    training = np.flatnonzero((mass == 0) | np.isin(snr, (snrs[1], snrs[-2])))
    made = Recorder(chain, bands, np.random.default_rng([seed, number])).recordings(mass[:, None], snr, training)
    return replace(made, mass=mass, component=made.component[:, 0])


def pairs(seed=0, snrs=(20.0, 10.0, 0.0, -10.0, -20.0), bands=8):
    """
    Two hits at once in data set 2, and five recordings without: components 1 and 2, 2 and 3, ..., 5 and 1.

    The training set is that of `dataset(2)`, so there is none here.
    """
    chain, rng = CHAINS[2], np.random.default_rng([seed, 3])
    components = chain.components
    mass = np.array([[rng.choice(one) for one in (components[first], components[(first + 1) % len(components)])]
                     for first in range(len(components))] + 5 * [[0, 0]])
    return Recorder(chain, bands, rng).recordings(mass, np.r_[snrs, np.full(5, np.nan)], [])
