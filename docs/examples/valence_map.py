"""From a spectrum image to a figure, cell by cell. `IMAGE` is the shipped one, or the path of yours."""

# %% A spectrum image, lazily: nothing is read yet
import hyperspy.api as hs

import mnflow
from mnflow.pretrained.shipped import EXAMPLE

IMAGE = EXAMPLE
image = hs.load(IMAGE, lazy=True)
print(image)

# %% The model reads it block by block. Every quantity is a HyperSpy signal on the image's own axes
maps = mnflow.predict(image)
print(maps)
print(maps.mean_valence, maps.fractions["Mn2+"], maps.valence_class)

# %% Flagged pixels: why, and the maps without them
for name, flag in maps.flags.items():
    print(f"{name}: {flag.data.mean():.1%} of pixels")
believed = maps.masked().mean_valence

# %% Regions: the mean spectrum of a region's unflagged pixels is answered as one
whole = maps.region()
x, y = image.axes_manager.navigation_axes
core = hs.roi.CircleROI(cx=x.axis.mean(), cy=y.axis.mean(), r=4 * x.scale)
print(f"the whole image: {whole}")
print(f"a circle in the middle: {maps.region(core)}")

# %% The figure, and files: HyperSpy's, a table with one row per pixel, TIFF for ImageJ
for suffix in (".pdf", ".png"):
    maps.plot().savefig(f"valence{suffix}")
for suffix in (".hspy", ".csv", ".tif"):
    maps.save(f"valence{suffix}")
