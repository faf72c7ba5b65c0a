"""Tests of single detection methods; `test_contract` checks what holds for every method."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.neighbors import NearestNeighbors

from augan import GANDetector
from augan.choices import DETECTION_METHODS
from augan.data.modalities.images import ImagePreprocessing
from augan.detect.detector import Detector
from augan.detect.methods.anogan import (
    LAMBDA,
    LATENT_NOISE_STD,
    NUM_INITIAL_LATENTS,
    NUM_NOISY_LATENTS,
    AnoGAN,
)
from augan.detect.methods.auto import PIXEL_WEIGHT, Auto
from augan.detect.methods.features import DiscriminatorFeatures
from augan.detect.methods.registry import build_scorer
from augan.detect.scoring.pixel_neighbors import PixelNeighbors
from augan.detect.scoring.transform_ensemble import WEIGHTS, TransformEnsemble
from augan.exceptions import ConfigError
from augan.gan import tf
from augan.gan.networks.build import build_network, feature_blocks, network_spec

LATENT_DIM = 3
PREPROCESSING = ImagePreprocessing(8, 1, "uint8", 0.0, 255.0, (8, 8))


def build(role, architecture="dcgan", shape=(8, 8, 1), classes=0, **arguments):
    spec = network_spec(architecture, role, image_shape=list(shape), seed=7, **arguments)
    if role != "transformation_head":
        spec["arguments"]["num_classes"] = classes
    return build_network(spec)


@pytest.fixture(scope="module")
def models():
    """Untrained networks; the generator has larger weights, so that its images differ."""
    discriminator = build("discriminator", width=4, norm="batch")
    num_features = int(np.prod(feature_blocks(discriminator).output_shape[-1][1:]))
    networks = {
        "generator": build("generator", latent_dim=LATENT_DIM, width=4),
        "discriminator": discriminator,
        "encoder": build("encoder", latent_dim=LATENT_DIM, width=4),
        "transformation_head": build("transformation_head", "linear", (num_features,)),
    }
    rng = np.random.default_rng(0)
    for variable in networks["generator"].trainable_variables:
        variable.assign(rng.normal(0, 0.4, variable.shape))
    return networks


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).uniform(-1, 1, (90, 8, 8, 1)).astype(np.float32)


def build_method(name, models):
    method = DETECTION_METHODS.get(name)
    roles = {*method.required_networks, *method.optional_networks} & models.keys()
    scorer = build_scorer(name, PREPROCESSING, {role: models[role] for role in roles})
    if name == "anogan":
        scorer.steps = 5
    return scorer


@pytest.mark.parametrize("name", ["auto", "fanogan", "features"])
def test_components_are_standardized_on_validation_images(name, models, images):
    components = (
        build_method(name, models).fit(images[:50], images[50:]).score_components(images[50:])
    )
    weights = (*WEIGHTS, PIXEL_WEIGHT) if name == "auto" else 1
    assert_allclose(components.mean(axis=0), 0, atol=1e-5)
    assert_allclose(components.std(axis=0), weights, atol=1e-5)


class TestAnoGAN:
    def test_reconstruction_approaches_a_generated_image(self, models):
        latents = np.random.default_rng(2).normal(0, 0.7, (8, LATENT_DIM)).astype(np.float32)
        generated = models["generator"](latents, training=False).numpy()
        optimized, initial = (
            np.abs(AnoGAN(models, steps=n).reconstruct(generated) - generated).mean()
            for n in (300, 0)
        )
        assert optimized < 0.6 * initial

    def test_score_is_the_mean_of_the_paper_around_the_best_initial_latent(self, models, images):
        """Sums of absolute differences with weights 1 - lambda and lambda, over noisy latents."""
        blocks = feature_blocks(models["discriminator"])

        def losses(latents, image):
            generated = models["generator"](latents, training=False)
            features = np.asarray(blocks(generated, training=False)[-1]).reshape(len(latents), -1)
            expected = np.asarray(blocks(image[None], training=False)[-1]).ravel()
            residual = np.abs(generated.numpy() - image).sum(axis=(1, 2, 3))
            matching = np.abs(features - expected).sum(axis=1)
            return np.c_[(1 - LAMBDA) * residual, LAMBDA * matching]

        initial = tf.random.stateless_normal((NUM_INITIAL_LATENTS, LATENT_DIM), tf.constant([0, 0]))
        noise = tf.stack(
            [
                tf.random.stateless_normal((LATENT_DIM,), (1, -i), stddev=LATENT_NOISE_STD)
                for i in range(NUM_NOISY_LATENTS)
            ]
        )
        for image, components in zip(
            images[:4], AnoGAN(models, steps=0).score_components(images[:4])
        ):
            best = losses(initial, image).sum(axis=1).argmin()
            expected = losses(initial[best] + noise, image).mean(axis=0)
            assert_allclose(components, expected, rtol=1e-4)

    def test_the_class_is_optimized_too(self, images):
        generator = build("generator", classes=2, latent_dim=LATENT_DIM, width=4)
        rng = np.random.default_rng(3)
        for variable in generator.trainable_variables:
            variable.assign(rng.normal(0, 0.4, variable.shape))
        models = {
            "generator": generator,
            "discriminator": build("discriminator", classes=2, width=4, norm="batch"),
        }
        latents = rng.normal(0, 0.5, (6, LATENT_DIM)).astype(np.float32)
        classes = np.eye(2, dtype=np.float32)[[0, 1] * 3]
        generated = generator([latents, classes], training=False).numpy()
        optimized, initial = (
            np.median(AnoGAN(models, steps=n).score_components(generated).sum(axis=1))
            for n in (200, 0)
        )
        assert optimized < 0.8 * initial


class TestDiscriminatorFeatures:
    def test_neighbor_distances_match_scikit_learn(self, models, images):
        method = DiscriminatorFeatures(models).fit(images[:60], images[60:])
        state = method.parts["reference"].get_state()
        features = np.concatenate(
            [
                np.asarray(block)
                .reshape(90, block.shape[1] // 2, 2, block.shape[2] // 2, 2, -1)
                .mean(axis=(2, 4))
                .reshape(90, -1)
                for block in feature_blocks(models["discriminator"])(images, training=False)
            ],
            axis=1,
        )
        coordinates = (features * state["scales"] - state["mean"]) @ state["components"].T
        assert_allclose(coordinates[:60], state["reference"], atol=1e-5)
        distances, _ = (
            NearestNeighbors(n_neighbors=2).fit(coordinates[:60]).kneighbors(coordinates[60:])
        )
        scale = method.parts["standardizer"].get_state()
        raw = method.score_components(images[60:])[:, 0] * scale["spread"][0] + scale["center"][0]
        assert_allclose(raw, distances.mean(axis=1), rtol=1e-3)

    def test_outliers_have_a_high_score_in_every_component(self, models, images):
        calm = images * 0.05
        method = DiscriminatorFeatures(models).fit(calm[:60], calm[60:])
        components = method.score_components(np.concatenate([calm[60:], images[:5]]))
        assert components[30:, :2].min() > components[:30, :2].max()

    def test_without_heads_the_components_are_distances(self, models, images):
        plain = DiscriminatorFeatures({"discriminator": models["discriminator"]}).fit(
            images[:60], images[60:]
        )
        full = DiscriminatorFeatures(models).fit(images[:60], images[60:])
        assert plain.components == full.components[:2]
        assert_allclose(
            plain.score_components(images), full.score_components(images)[:, :2], rtol=1e-5
        )


class TestAuto:
    def test_components_are_those_of_the_ensemble_and_the_pixel_distance(self, models, images):
        method = Auto(models).fit(images[:60], images[60:])
        components = method.score_components(images[60:])
        ensemble = TransformEnsemble(models).fit(images[:60], images[60:])
        assert method.components == (*ensemble.components, *PixelNeighbors.components)
        assert_allclose(components[:, :-1], ensemble.score_components(images[60:]))
        flat = images.reshape(90, -1)
        distances, _ = NearestNeighbors(n_neighbors=2).fit(flat[:60]).kneighbors(flat[60:])
        distance = np.log(distances.mean(axis=1))
        # Not equal: the component uses principal components plus the residual outside of them.
        assert np.corrcoef(components[:, -1], distance)[0, 1] > 0.9


@pytest.mark.parametrize("name", DETECTION_METHODS.names())
def test_the_maximum_of_a_map_is_at_the_corruption(name, models):
    calm = np.random.default_rng(5).uniform(-0.1, 0.1, (90, 8, 8, 1)).astype(np.float32)
    method = build_method(name, models).fit(calm[:60], calm[60:])
    corrupted = calm[60:68].copy()
    corrupted[:, :2, 6:] = 1.0
    detector = Detector(method, PREPROCESSING)
    maps = detector.maps(detector.preprocessing.denormalize(corrupted))
    assert maps.shape == (8, 8, 8, 1)
    assert maps.dtype == np.float32
    for one in maps[..., 0]:
        row, column = np.unravel_index(one.argmax(), one.shape)
        assert row < 4 <= column


@pytest.mark.parametrize("method", DETECTION_METHODS.names())
def test_the_estimator_supports_every_method(method, images):
    detector = GANDetector(method=method, steps=2, random_state=0).fit(images)
    assert detector.bundle_.detector.method_names == (method,)
    declared = DETECTION_METHODS.get(method)
    optional = set(declared.optional_networks) - {"localization_head"}  # of large images only
    trained = {"generator", "discriminator", *declared.required_networks, *optional}
    assert set(detector.bundle_.networks) == trained
    assert np.isfinite(detector.score_samples(images[:3])).all()


def test_an_unknown_method_is_refused(images):
    with pytest.raises(ConfigError, match=r"detect\.method"):
        GANDetector(method="magic", steps=2).fit(images)
