"""The format of a recording in storage: object names, journals, merged files and playlists."""
