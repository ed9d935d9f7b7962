"""Puts `irstream.pth` beside the packages, where Python reads it at its start; everything else is in `pyproject.toml`."""

from setuptools import Distribution, setup  # first: it brings the distutils of the next line

from distutils.command.install_data import install_data  # isort: skip


class BesidePackages(install_data):
    """Data files go where the packages go, not to the root of the environment."""

    def finalize_options(self) -> None:
        """Take over the folder of the packages before the default is filled in."""
        self.set_undefined_options("install", ("install_lib", "install_dir"))
        super().finalize_options()


class WithStartFile(Distribution):
    """An editable install asks `has_data`, which setuptools has under another name only, whether there are data files."""

    def has_data(self) -> bool:
        """Whether there are data files."""
        return bool(self.has_data_files())


setup(distclass=WithStartFile, cmdclass={"install_data": BesidePackages}, data_files=[("", ["irstream.pth"])])
