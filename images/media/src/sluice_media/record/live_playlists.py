"""The playlists of a running Recording's files, one for each file.

In: each chunk that is stored. Out: playlists that are due to be written, each at most every
PLAYLIST_SECONDS, and once more when its file is closed. An attempt writes only below its own
folder, so its playlist names the chunks of earlier attempts by ``../<attempt>/``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sluice_media.recording.journal import ChunkEntry, FileEntry
from sluice_media.recording.keys import playlist_key
from sluice_media.recording.merge import MergedFile
from sluice_media.recording.playlist import PlaylistChunk, media_playlist, relative_to

PLAYLIST_SECONDS = 6.0

Identity = tuple[str, int]


@dataclass(slots=True)
class _Playlist:
    file: FileEntry
    chunks: list[PlaylistChunk] = field(default_factory=list)
    is_closed: bool = False
    is_stale: bool = False
    written_at: float = float("-inf")


class LivePlaylists:
    """The playlists of one attempt."""

    def __init__(self, prefix: str, attempt: str, merged: Iterable[MergedFile] = ()) -> None:
        """``merged`` has the files of earlier attempts."""
        self._prefix = prefix
        self._attempt = attempt
        self._uri = relative_to(attempt)
        self._open: dict[Identity, _Playlist] = {}
        self._earlier: dict[Identity, list[PlaylistChunk]] = {}
        self._keys: dict[Identity, str] = {}
        self._ended: set[Identity] = set()
        for file in merged:
            identity = (file.timeline, file.first_dts)
            stored = [chunk for chunk in file.chunks if chunk.attempt != attempt]
            self._earlier[identity] = [
                PlaylistChunk(
                    self._uri(chunk.attempt, chunk.entry.name),
                    chunk.attempt,
                    chunk.entry,
                    chunk.skip_through is not None,
                )
                for chunk in stored
            ]
            if stored:  # who wrote its last chunk wrote its playlist
                self._keys[identity] = playlist_key(prefix, stored[-1].attempt, file.index)

    def key(self, identity: Identity) -> str | None:
        """Return the key of a file's newest playlist; None before its first chunk is stored."""
        return self._keys.get(identity)

    def stored(self, file: FileEntry, chunk: ChunkEntry) -> None:
        """Add a chunk of this attempt that was stored."""
        playlist = self._of(file)
        uri = self._uri(self._attempt, chunk.name)
        if all(known.uri != uri for known in playlist.chunks[-1:]):
            playlist.chunks.append(PlaylistChunk(uri, self._attempt, chunk))
        playlist.is_stale = True

    def closed(self, file: FileEntry) -> None:
        """Note that the file has no more chunks."""
        if file.identity not in self._ended:
            playlist = self._of(file)
            playlist.is_closed = playlist.is_stale = True

    def due(self, now: float) -> list[tuple[Identity, str, str]]:
        """Return file, key and text of each playlist that is due; ``now`` is monotonic."""
        return [
            (
                identity,
                playlist_key(self._prefix, self._attempt, p.file.index),
                self._text(p),
            )
            for identity, p in self._open.items()
            if p.is_stale and (p.is_closed or now - p.written_at >= PLAYLIST_SECONDS)
        ]

    def written(self, identity: Identity, now: float) -> None:
        """Note that a file's playlist was written."""
        playlist = self._open[identity]
        playlist.is_stale, playlist.written_at = False, now
        self._keys[identity] = playlist_key(self._prefix, self._attempt, playlist.file.index)
        if playlist.is_closed:
            self._ended.add(identity)
            del self._open[identity]

    def _of(self, file: FileEntry) -> _Playlist:
        playlist = self._open.get(file.identity)
        if playlist is None:
            earlier = self._earlier.pop(file.identity, [])
            playlist = self._open[file.identity] = _Playlist(file, earlier)
        playlist.file = file
        return playlist

    @staticmethod
    def _text(playlist: _Playlist) -> str:
        file = playlist.file
        return media_playlist(
            playlist.chunks, gaps=file.gaps, anchors=file.anchors, closed=playlist.is_closed
        )
