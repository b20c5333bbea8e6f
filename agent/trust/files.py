"""What the agent and its checking child must both know of the files between them."""

ROOT, TIMESTAMP, SNAPSHOT, TARGETS = "root", "timestamp", "snapshot", "targets"
ROLES = (ROOT, TIMESTAMP, SNAPSHOT, TARGETS)
# In the child's folder: what is trusted so far, what the server gave, and what was verified of it.
QUESTION_FILE, NEWS_FILE, VERIFIED_FILE = "question.json", "news.json", "verified.json"
VERIFIED_FILE_BYTES = 2 << 20
# Live targets of one line.
MAX_TARGETS = 32
