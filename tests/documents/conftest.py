import sys
from pathlib import Path

# The fakes beside these tests are imported by name: tests are no package.
sys.path.insert(0, str(Path(__file__).parent))
