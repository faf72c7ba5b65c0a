"""Every method scores each image for itself, changes no network, and comes back from its state."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.neighbors import NearestNeighbors

from augan import GANDetector
from augan.bundle import read_weights
from augan.data.modalities.images import ImagePreprocessing
from augan.detect.detector import METHODS, Detector
from augan.detect.methods.anogan import LAMBDA, SHAKE, SHAKEN, STARTS, AnoGAN
from augan.detect.methods.auto import INPUTS, Auto
from augan.detect.methods.features import DiscriminatorFeatures
from augan.detect.scoring.transform_ensemble import WEIGHTS, TransformEnsemble
from augan.exceptions import ConfigError, DataError
from augan.gan import tf
from augan.gan.networks.registry import build_network, feature_blocks, network_spec

CODE = 3


def build(role, architecture="dcgan", shape=(8, 8, 1), classes=0, **arguments):
    spec = network_spec(architecture, role, image_shape=list(shape), seed=7, **arguments)
    if role != "heads":
        spec["arguments"]["num_classes"] = classes
    return build_network(spec)


@pytest.fixture(scope="module")
def models():
    """Untrained networks, with a generator whose images are not all alike."""
    discriminator = build("discriminator", width=4, norm="batch")
    deep = int(np.prod(feature_blocks(discriminator).output_shape[-1][1:]))
    networks = {
        "generator": build("generator", latent_dim=CODE, width=4),
        "discriminator": discriminator,
        "encoder": build("encoder", latent_dim=CODE, width=4),
        "heads": build("heads", "linear", (deep,)),
    }
    rng = np.random.default_rng(0)
    for variable in networks["generator"].trainable_variables:
        variable.assign(rng.normal(0, 0.4, variable.shape))
    return networks


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).uniform(-1, 1, (90, 8, 8, 1)).astype(np.float32)


def made(name, models):
    roles = (*METHODS[name].required_networks, *METHODS[name].optional_networks)
    method = METHODS[name]({role: models[role] for role in roles})
    if name == "anogan":
        method.steps = 5
    return method


@pytest.mark.parametrize("name", METHODS)
def test_each_image_is_scored_for_itself_by_networks_that_stay(name, models, images):
    before = {role: read_weights(model) for role, model in models.items()}
    method = made(name, models).fit(images[:60], images[60:])
    components = method.score_components(images)
    assert components.shape == (90, len(method.components))
    assert components.dtype == np.float64
    assert len(np.unique(components[60:].sum(axis=1))) == 30
    assert_array_equal(method.score_components(images[::-1])[::-1], components)
    assert_array_equal(method.score_components(images[65:66]), components[65:66])
    restored = made(name, models).set_state(method.get_state())
    assert_array_equal(restored.score_components(images), components)
    for role, weights in before.items():
        for path, values in read_weights(models[role]).items():
            assert_array_equal(values, weights[path])


@pytest.mark.parametrize("name", ["anogan", "fanogan"])
def test_two_images_are_drawn_differently(name, models, images):
    again = made(name, models).fit(images[:60], images[60:]).reconstruct(images[:2])
    assert again.shape == (2, 8, 8, 1)
    assert np.abs(again[0] - again[1]).max() > 1e-4


@pytest.mark.parametrize("name", ["auto", "fanogan", "features"])
def test_terms_are_standardised_on_the_tune_images(name, models, images):
    components = made(name, models).fit(images[:50], images[50:]).score_components(images[50:])
    weights = (*WEIGHTS, INPUTS) if name == "auto" else 1
    assert_allclose(components.mean(axis=0), 0, atol=1e-5)
    assert_allclose(components.std(axis=0), weights, atol=1e-5)


class TestAnoGAN:
    def test_it_comes_closer_to_what_the_generator_can_draw(self, models):
        codes = np.random.default_rng(2).normal(0, 0.7, (8, CODE)).astype(np.float32)
        drawn = models["generator"](codes, training=False).numpy()
        searched, started = (
            np.abs(AnoGAN(models, steps=n).reconstruct(drawn) - drawn).mean() for n in (300, 0)
        )
        assert searched < 0.6 * started

    def test_the_score_is_the_papers_around_the_best_of_its_starts(self, models, images):
        """Sums of absolute differences, (1 - lambda) and lambda, the mean over shaken codes."""
        deep = feature_blocks(models["discriminator"])

        def paper(codes, image):
            again = models["generator"](codes, training=False)
            drawn = np.asarray(deep(again, training=False)[-1]).reshape(len(codes), -1)
            seen = np.asarray(deep(image[None], training=False)[-1]).ravel()
            residual = np.abs(again.numpy() - image).sum(axis=(1, 2, 3))
            return np.c_[(1 - LAMBDA) * residual, LAMBDA * np.abs(drawn - seen).sum(axis=1)]

        starts = tf.random.stateless_normal((STARTS, CODE), tf.constant([0, 0]))
        noise = tf.stack(
            [tf.random.stateless_normal((CODE,), (1, -i), stddev=SHAKE) for i in range(SHAKEN)]
        )
        for image, components in zip(
            images[:4], AnoGAN(models, steps=0).score_components(images[:4])
        ):
            best = paper(starts, image).sum(axis=1).argmin()
            assert_allclose(components, paper(starts[best] + noise, image).mean(axis=0), rtol=1e-4)

    def test_the_class_is_searched_for_too(self, images):
        generator = build("generator", classes=2, latent_dim=CODE, width=4)
        rng = np.random.default_rng(3)
        for variable in generator.trainable_variables:
            variable.assign(rng.normal(0, 0.4, variable.shape))
        models = {
            "generator": generator,
            "discriminator": build("discriminator", classes=2, width=4, norm="batch"),
        }
        code = rng.normal(0, 0.5, (6, CODE)).astype(np.float32)
        drawn = generator([code, np.eye(2, dtype=np.float32)[[0, 1] * 3]], training=False).numpy()
        searched, started = (
            np.median(AnoGAN(models, steps=n).score_components(drawn).sum(axis=1)) for n in (200, 0)
        )
        assert searched < 0.8 * started


class TestFeatures:
    def test_neighbours_are_scikit_learns(self, models, images):
        method = DiscriminatorFeatures(models).fit(images[:60], images[60:])
        state = method.get_state()
        seen = np.concatenate(
            [
                np.asarray(block)
                .reshape(90, block.shape[1] // 2, 2, block.shape[2] // 2, 2, -1)
                .mean(axis=(2, 4))
                .reshape(90, -1)
                for block in feature_blocks(models["discriminator"])(images, training=False)
            ],
            axis=1,
        )
        codes = (seen * state["scales"] - state["mean"]) @ state["components"].T
        assert_allclose(codes[:60], state["reference"], atol=1e-5)
        distances, _ = NearestNeighbors(n_neighbors=2).fit(codes[:60]).kneighbors(codes[60:])
        raw = method.score_components(images[60:])[:, 0] * state["spread"][0] + state["center"][0]
        assert_allclose(raw, distances.mean(axis=1), rtol=1e-3)

    def test_what_is_far_from_all_is_far_by_every_distance(self, models, images):
        calm = images * 0.05
        method = DiscriminatorFeatures(models).fit(calm[:60], calm[60:])
        components = method.score_components(np.concatenate([calm[60:], images[:5]]))
        assert components[30:, :2].min() > components[:30, :2].max()

    def test_without_heads_it_scores_by_distances_alone(self, models, images):
        plain = DiscriminatorFeatures({"discriminator": models["discriminator"]}).fit(
            images[:60], images[60:]
        )
        full = DiscriminatorFeatures(models).fit(images[:60], images[60:])
        assert plain.components == full.components[:2]
        assert_allclose(
            plain.score_components(images), full.score_components(images)[:, :2], rtol=1e-5
        )

    def test_rows_of_a_table_have_blocks_but_no_places(self):
        rows = np.random.default_rng(4).uniform(-1, 1, (40, 6)).astype(np.float32)
        judge = build("discriminator", "mlp", (6,), width=2, norm="none")
        method = DiscriminatorFeatures({"discriminator": judge}).fit(rows[:30], rows[30:])
        assert method.score_components(rows[30:]).shape == (10, 2)
        with pytest.raises(DataError, match="no places"):
            method.maps(rows)


class TestAuto:
    def test_it_adds_plain_distance_to_what_the_discriminator_says(self, models, images):
        method = Auto(models).fit(images[:60], images[60:])
        components = method.score_components(images[60:])
        probes = TransformEnsemble(models).fit(images[:60], images[60:])
        assert method.components == (*probes.components, "input_neighbours")
        assert_allclose(components[:, :-1], probes.score_components(images[60:]))
        flat = images.reshape(90, -1)
        found, _ = NearestNeighbors(n_neighbors=2).fit(flat[:60]).kneighbors(flat[60:])
        distance = np.log(found.mean(axis=1))
        # Nearly: within the plane of the normal images they differ by what lies outside of it.
        assert np.corrcoef(components[:, -1], distance)[0, 1] > 0.9


@pytest.mark.parametrize("name", METHODS)
def test_the_highest_place_of_a_map_is_where_the_image_was_spoilt(name, models):
    calm = np.random.default_rng(5).uniform(-0.1, 0.1, (90, 8, 8, 1)).astype(np.float32)
    method = made(name, models).fit(calm[:60], calm[60:])
    spoilt = calm[60:68].copy()
    spoilt[:, :2, 6:] = 1.0
    detector = Detector(method, ImagePreprocessing(8, 1, "uint8", 0.0, 255.0, (8, 8)))
    maps = detector.maps(detector.preprocessing.denormalize(spoilt))
    assert maps.shape == (8, 8, 8, 1)
    assert maps.dtype == np.float32
    for heat in maps[..., 0]:
        down, across = np.unravel_index(heat.argmax(), heat.shape)
        assert down < 4 <= across


@pytest.mark.parametrize("method", METHODS)
def test_the_estimator_takes_every_method(method, images):
    detector = GANDetector(method=method, steps=2, random_state=0).fit(images)
    assert detector.bundle_.detector["method"] == method
    known = METHODS[method]
    trained = {"generator", "discriminator", *known.required_networks, *known.optional_networks}
    assert set(detector.bundle_.networks) == trained
    assert np.isfinite(detector.score_samples(images[:3])).all()


def test_an_unknown_method_is_refused(images):
    with pytest.raises(ConfigError, match=r"detect\.method"):
        GANDetector(method="magic", steps=2).fit(images)
