"""Choose the false-alarm rate: what is promised, and what then happens on new images.

A detector learns digits and is never shown an anomaly. Its line is drawn on digits that it has not
seen, once for each rate and without training again (split conformal prediction: at the rate q, the
k-th highest of n calibration scores, k = q (n + 1) rounded down). On average over many draws of
calibration images at most that share of new digits is flagged; one draw lies above or below it.

    python examples/chosen_false_alarm_rate.py
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from augan import GANDetector

RATES = (0.01, 0.02, 0.05, 0.1, 0.2)


def main() -> None:
    digits = np.rint(load_digits().images * (255 / 16)).astype(np.uint8)
    learn, others = train_test_split(digits, train_size=700, random_state=0)
    calibrate, new = train_test_split(others, train_size=500, random_state=0)
    spoilt = new[:, ::-1].copy()  # upside down
    spoilt[:, 3:5] = 0  # and with a gap in the middle

    trained = GANDetector(steps=400, random_state=0).fit(learn)
    print(f"{len(calibrate)} digits calibrate; judged on {len(new)} new ones, and as many spoilt")
    print("rate    new digits flagged    spoilt ones flagged")
    for rate in RATES:
        detector = GANDetector(bundle=trained.bundle_, far=rate).fit(calibrate)
        alarms, found = ((detector.predict(images) == -1).mean() for images in (new, spoilt))
        print(f"{rate:>4.0%}    {alarms:>18.1%}    {found:>19.1%}")

    # A rate that the calibration images cannot support is refused, not rounded.
    try:
        GANDetector(bundle=trained.bundle_, far=0.001).fit(calibrate)
    except ValueError as error:
        print(f"0.1%    {error}")


if __name__ == "__main__":
    main()
