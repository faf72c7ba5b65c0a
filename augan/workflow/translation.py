"""Check of a trained translation on held-out images: section of the bundle, warnings, picture."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from augan.bundle import Splits, TranslationSection
from augan.data.cameras import common_class_names
from augan.data.modalities.images import ImagePreprocessing
from augan.data.splits import evenly_spaced
from augan.gan.inference import BatchInference
from augan.training.trainer import TrainedNetworks
from augan.translate.metrics import (
    HeldOutImages,
    class_share_gap,
    measure_translation,
    translation_warnings,
)
from augan.translate.preview import translation_preview
from augan.translate.translator import Translator
from augan.workflow.prepare import PreparedData

MAX_MEASURED_IMAGES = 500  # held-out images of each camera


@dataclass(frozen=True)
class CheckedTranslation:
    """A trained translation with its metrics on held-out images.

    Attributes
    ----------
    section : TranslationSection
        The new camera and the metrics, for the bundle.
    warnings : list of str
        Warnings about the quality of the translation, in full sentences.
    preview : ndarray of uint8 [H, W, 3]
        Old, translated and real new images side by side, see `translation_preview`.
    """

    section: TranslationSection
    warnings: list[str]
    preview: np.ndarray


def check_translation(
    data: PreparedData, new: PreparedData, networks: TrainedNetworks
) -> CheckedTranslation:
    """Translate held-out images, and compare them with those of the new camera.

    Parameters
    ----------
    data, new : PreparedData
        Samples of the old and of the new camera; the validation splits are used.
    networks : TrainedNetworks
        The translators, and if there is one the classifier of the old camera.
    """
    of_old, of_new = data.preprocessing.require_images(), new.preprocessing.require_images()
    translator = Translator.from_networks(networks.models, old=of_old, new=of_new)
    old_rows, new_rows = (
        evenly_spaced(camera.split.val, MAX_MEASURED_IMAGES) for camera in (data, new)
    )
    old_labels, new_labels = (camera.joint_labels(data.class_names) for camera in (data, new))
    old_images, new_images = data.pixels[old_rows], new.pixels[new_rows]
    old_keys, new_keys = old_rows.tolist(), new_rows.tolist()
    translated = translator.translate_prepared(old_images, old_keys, seed=data.config.seed)
    predict = _classifier(networks, of_old)
    predicted, predicted_back, new_classes = None, None, new_labels
    if predict is not None and "back_translator" in networks.models:
        predicted = predict(old_images)
        back = translator.translate_prepared(translated, old_keys, direction="new-to-old")
        predicted_back = predict(back)
        if new.dataset.labels is None:
            back = translator.translate_prepared(new_images, new_keys, direction="new-to-old")
            new_classes = predict(back)
    images = HeldOutImages(
        old=of_old.normalize(old_images),
        translated=of_new.normalize(translated),
        new=of_new.normalize(new_images),
        old_classes=old_labels[old_rows],
        new_classes=new_labels[new_rows],
        predicted=predicted,
        predicted_back=predicted_back,
    )
    share_gap = _share_gap(data, new, old_labels, new_classes)
    section = TranslationSection(
        data=new.description,
        preprocessing=of_new,
        class_names=data.class_names,
        common_classes=common_class_names(data.dataset, new.dataset),
        splits=Splits(new.split.train, new.split.val, new.split.calibration),
        metrics=measure_translation(images, data.class_names, share_gap=share_gap),
    )
    preview = translation_preview(
        (of_old.to_uint8(old_images), images.old_classes),
        of_new.to_uint8(translated),
        (of_new.to_uint8(new_images), images.new_classes),
        len(data.dataset.class_names),
    )
    has_unlabeled = any(
        camera.dataset.labels is None or camera.unlabeled is not None for camera in (data, new)
    )
    warnings = translation_warnings(section.metrics, has_unlabeled=has_unlabeled)
    return CheckedTranslation(section, warnings, preview)


def _classifier(
    networks: TrainedNetworks, of_old: ImagePreprocessing
) -> Callable[[np.ndarray], np.ndarray] | None:
    """Return the old camera's classifier: prepared images -> class indices; None without one."""
    if "classifier" not in networks.models:
        return None
    classify = BatchInference.from_model(networks.models["classifier"])

    def predict(images: np.ndarray) -> np.ndarray:
        (logits,) = classify(of_old.normalize(images))
        return np.asarray(logits.argmax(axis=1))

    return predict


def _share_gap(
    data: PreparedData, new: PreparedData, old_classes: np.ndarray, new_classes: np.ndarray
) -> float | None:
    """Return the distance of the class shares of two cameras; None if they are unknown.

    With labels on both cameras, the shares are those among the common classes. The classes of a new
    camera without labels are predictions, of all classes of the old camera.
    """
    names = data.dataset.class_names
    if new.dataset.labels is not None:
        names = common_class_names(data.dataset, new.dataset)
    indices = [data.class_names.index(name) for name in names]
    counts = (
        np.bincount(classes[classes >= 0], minlength=len(data.class_names))[indices]
        for classes in (old_classes, new_classes)
    )
    return class_share_gap(*counts)
