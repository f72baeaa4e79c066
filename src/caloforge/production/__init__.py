"""Production: any source through any simulator, refiner or chain into any file, in bounded memory;
what is finished when a run is interrupted is kept, and the run goes on from there to the same
bytes.
"""

__all__ = ["Journal", "Moved", "Produced", "copy", "journal_of", "produce"]

from caloforge.production.journal import Journal, journal_of
from caloforge.production.producing import Moved, Produced, copy, produce
