from mnflow.errors import InputError as InputError
from mnflow.maps import load_predictor as load_predictor
from mnflow.maps import predict as predict
from mnflow.read import read_file as read_file
from mnflow.serve.predictor import Predictor as Predictor
from mnflow.spectra import MN as MN
from mnflow.spectra import Edge as Edge
from mnflow.spectra import RawSpectra as RawSpectra
from mnflow.spectra import SpectrumSet as SpectrumSet

__version__: str
