"""Whether a folder holds only files that we have put there, or could hold files of somebody else."""

import os
from pathlib import Path
from stat import S_ISVTX, S_IWGRP, S_IWOTH


def distrust(folder: str) -> str | None:
    """Why others could put files into a folder, or another folder in its place; None if they cannot.

    As ssh does with keys: it and those above it belong to the user, to root or to the owner of this package, whose code
    runs anyway, and nobody else may write to them; above it, a sticky one may be open, such as ``/tmp``. Windows has no
    such bits.
    """
    if not hasattr(os, "getuid"):
        return None
    path = Path(folder).resolve()
    trusted = {os.getuid(), os.stat("/").st_uid, os.stat(__file__).st_uid}
    for place in (path, *path.parents):
        status = place.stat()
        if status.st_uid not in trusted:
            return f"{place} belongs to another user, {status.st_uid}"
        if _open(status) and not (place != path and status.st_mode & S_ISVTX):
            return f"other users may write to {place}"
    return None


def _open(status: os.stat_result) -> bool:
    if status.st_mode & S_IWOTH:
        return True
    return bool(status.st_mode & S_IWGRP) and not _is_alone(status)


def _is_alone(status: os.stat_result) -> bool:
    """Whether the group is that which many systems give to each user, of the same name and with no one else in it."""
    import grp
    import pwd

    try:
        owner, group = pwd.getpwuid(status.st_uid).pw_name, grp.getgrgid(status.st_gid)
    except KeyError:
        return False
    return group.gr_name == owner and set(group.gr_mem) <= {owner}
