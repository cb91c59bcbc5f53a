"""What the artifact service tells Prometheus."""

from prometheus_client import Counter

VERIFIED_BYTES = Counter("runstream_artifacts_verified_bytes_total", "Bytes of uploads that were read back and hashed.")
REFUSED_UPLOADS = Counter("runstream_artifacts_refused_uploads_total", "Uploads of other bytes than were announced.")
SMALL_BLOBS = Counter("runstream_artifacts_small_blobs_total", "Blobs that came within messages and were not known.")
DAMAGED_READS = Counter("runstream_artifacts_damaged_reads_total", "Times that bytes were not what was stored.")
COLLECTED_CONTENTS = Counter("runstream_artifacts_collected_contents_total", "Contents that no workspace had any more.")
COLLECTED_BYTES = Counter("runstream_artifacts_collected_bytes_total", "Bytes of these.")
DELETED_OBJECTS = Counter("runstream_artifacts_deleted_objects_total", "Objects that were deleted from the bucket.")
DELETED_BYTES = Counter("runstream_artifacts_deleted_bytes_total", "Bytes of these.")
UNDELETED_OBJECTS = Counter("runstream_artifacts_undeleted_objects_total", "Times the bucket refused to delete one.")
