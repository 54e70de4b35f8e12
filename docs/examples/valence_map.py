"""Valence maps in a HyperSpy session, cell by cell; `IMAGE` is yours, or one that `mlflow run . -e simulate`
made.
"""

# %% A spectrum image, lazily: nothing is read yet
import hyperspy.api as hs
import numpy as np

import mnflow

IMAGE = "data/simulated/Mn2+/Mn2_01.hspy"
image = hs.load(IMAGE, lazy=True)
print(image)

# %% The champion reads it block by block: a signal in, a signal out, with the same navigation axes and
# metadata
maps = mnflow.predict(image)
quantities = list(maps.metadata.Valence.quantities)
print(quantities)

# %% One quantity is one image; `.plot()` shows it
mean_valence = maps.isig[quantities.index("mean_valence")].as_signal2D((0, 1))
fractions = maps.isig[quantities.index(f"x({maps.metadata.Valence.classes[0]})") :]
print(mean_valence, fractions)

# %% Pixels to believe: those without a flag. Which flags a pixel has are the bits of a sum
flags = maps.isig[quantities.index("flags")].data.astype(int)
for bit, name in enumerate(maps.metadata.Valence.flags):
    print(f"{name}: {np.mean(flags >> bit & 1):.1%} of pixels")
believed = mean_valence.data[flags == 0]
print(
    f"mean valence {believed.mean():.2f} in {believed.size} pixels"
    if believed.size
    else "every pixel is flagged"
)

# %% Kept as a HyperSpy file
maps.save("valence.hspy", overwrite=True)
