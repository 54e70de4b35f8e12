"""From a spectrum image to a figure, cell by cell. `IMAGE` is yours, or one that `mlflow run . -e simulate` made."""

# %% A spectrum image, lazily: nothing is read yet
import hyperspy.api as hs

import mnflow

IMAGE = "data/simulated/Mn2+/Mn2_01.hspy"
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
corner = hs.roi.RectangularROI(x.low_value, y.low_value, x.low_value + 2 * x.scale, y.low_value + 2 * y.scale)
print(f"the whole image: {whole}")
print(f"four pixels: {maps.region(corner)}")

# %% The figure, and files: HyperSpy's, a table with one row per pixel, TIFF for ImageJ
maps.plot().savefig("valence.pdf")
for suffix in (".hspy", ".csv", ".tif"):
    maps.save(f"valence{suffix}")
