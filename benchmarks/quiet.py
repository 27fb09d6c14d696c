"""Nothing but a benchmark's own lines is to be seen."""

import logging
import os
import warnings

from diffusers.utils import logging as diffusers_logging
from transformers.utils.logging import disable_progress_bar


def silence_libraries() -> None:
    """No progress of loading, no advice on what is not used here."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    warnings.filterwarnings("ignore", category=FutureWarning)
    logging.disable(logging.WARNING)
    diffusers_logging.disable_progress_bar()
    disable_progress_bar()
