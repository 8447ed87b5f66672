"""Pixels -> lines, by RapidOCR's PP-OCR models. Those of the default come with its package; nothing is downloaded."""

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from extract.errors import Refused, listing, need
from extract.files import cache_root
from extract.images import Undecodable
from extract.ocr.lines import Line
from extract.places import digest

LIBRARIES = ("rapidocr", "onnxruntime")
LANGUAGE, MODEL = "en", "small"
MODELS = ("tiny", "small", "medium")  # of PP-OCRv6, which reads Latin, Chinese and Japanese script
LONGEST = 2000  # pixels a side that a reader sees: RapidOCR itself shrinks what is larger
# Times a side may be as long as the other: RapidOCR scales the shorter one up to 736 pixels, and a picture of
# 2,000 x 1 would become one of 1.5 million x 736.
NARROWEST = 4
LEAST = 0.5  # confidence of a line


class Reader(Protocol):
    """Finds lines of text. Several threads call it at once."""

    settings: Mapping[str, Any]  # all that decides what is read

    def __call__(self, pixels: np.ndarray) -> list[Line]:
        """pixels: [h, w, 3] uint8 RGB. Returns lines in any order, their boxes in these pixels.

        Raises Undecodable for an image that it cannot work on.
        """


@dataclass(frozen=True)
class ReaderChoice:
    """Which models read."""

    language: str = LANGUAGE
    model: str = MODEL  # one of MODELS; a language that PP-OCRv6 does not know has a model of PP-OCRv5's
    models: Path | None = None  # folder of models that are not in the package; None: in memefuse's cache

    def load(self) -> "RapidReader":
        """Raises Refused where the package or a model is not there, or there is none for the language."""
        need(LIBRARIES, "reading words from pictures needs", "ocr")
        files = self._files()
        settings = {
            "library": f"rapidocr {importlib.metadata.version('rapidocr')}",
            "models": {task: digest(path) for task, path in files.items()},
            "limits": [LONGEST, NARROWEST, LEAST],
        }
        return RapidReader(files, self.language, settings)

    def _files(self) -> dict[str, Path]:
        """The models that find lines, turn them upright and recognise them. Each is what its publisher says it is."""
        import rapidocr
        from rapidocr.inference_engine.base import FileInfo, InferSession
        from rapidocr.utils.typings import EngineType, ModelType, OCRVersion, TaskType

        if self.model not in MODELS:
            raise Refused(f"--model is {self.model}, expected one of {', '.join(MODELS)}")
        newest = OCRVersion.PPOCRV6, ModelType(self.model)
        wanted = {
            "Det": (TaskType.DET, LANGUAGE, newest),
            "Cls": (TaskType.CLS, "ch", (OCRVersion.PPOCRV4, ModelType.MOBILE)),  # of any script
            "Rec": (TaskType.REC, self.language, self._recogniser(newest, (OCRVersion.PPOCRV5, ModelType.MOBILE))),
        }
        folders = [Path(rapidocr.__file__).parent / "models", self.models or cache_root() / "ocr_models"]
        files, faults = {}, []
        for section, (task, language, (version, size)) in wanted.items():
            info = InferSession.get_model_url(FileInfo(EngineType.ONNXRUNTIME, version, task, language, size))
            url = info["model_dir"]
            path = next((each for each in (folder / Path(url).name for folder in folders) if each.is_file()), None)
            if path is None:
                faults.append(f"{Path(url).name} is not there: it is {url}")
            elif digest(path) != info["SHA256"]:
                faults.append(f"{path} is not the file that its publisher has: its SHA-256 is not {info['SHA256']}")
            else:
                files[section] = path
        if faults:
            raise Refused(
                f"{len(faults)} of the models that read words cannot be used:\n{listing(faults)}\n"
                f"Put them into {folders[-1]}, or another folder with --models, and run again."
            )
        return files

    def _recogniser(self, *sizes: tuple[Any, Any]) -> tuple[Any, Any]:
        """The first of these versions and sizes that reads the language."""
        from rapidocr.utils.model_resolver import list_supported_langs
        from rapidocr.utils.typings import TaskType

        languages = {size: list_supported_langs(TaskType.REC, *size) for size in sizes}
        for size, known in languages.items():
            if self.language in known:
                return size
        names = sorted({name for known in languages.values() for name in known})
        raise Refused(f"--language is {self.language}, expected one of {', '.join(names)}")


class RapidReader:
    """RapidOCR on one thread; as many threads as there are cores share one reader."""

    def __init__(self, files: Mapping[str, Path], language: str, settings: Mapping[str, Any]) -> None:
        import cv2
        from rapidocr import RapidOCR

        self.settings = settings
        cv2.setNumThreads(1)
        alone = {f"EngineConfig.onnxruntime.{kind}_op_num_threads": 1 for kind in ("intra", "inter")}
        models = {f"{section}.model_path": str(path) for section, path in files.items()}
        limits = {"Global.max_side_len": LONGEST, "Global.text_score": LEAST, "Global.log_level": "critical"}
        self._ocr = RapidOCR(params={**alone, **models, **limits, "Rec.lang_type": language})

    def __call__(self, pixels: np.ndarray) -> list[Line]:
        height, width, _ = pixels.shape
        least = -(-max(height, width) // NARROWEST)
        wider = [(0, max(0, least - height)), (0, max(0, least - width)), (0, 0)]
        try:
            said = self._ocr(np.ascontiguousarray(np.pad(pixels[..., ::-1], wider, mode="edge")))
        except ModuleNotFoundError as error:  # scripts that are written from right to left take one package more
            raise Refused(str(error)) from None
        except Exception as error:  # onnxruntime's, OpenCV's and shapely's own
            raise Undecodable(f"words cannot be read from it: {' '.join(str(error).split())[-200:]}") from None
        if said.boxes is None or said.txts is None:
            return []
        boxes = np.clip(said.boxes, 0, (width, height)).round(1).tolist()
        return [
            Line(text.strip(), tuple((x, y) for x, y in box), round(float(confidence), 4))
            for text, box, confidence in zip(said.txts, boxes, said.scores, strict=True)
        ]
