import sys
from pathlib import Path

# What is beside these tests is imported by name: tests are no package.
sys.path.insert(0, str(Path(__file__).parent))
