# Sourced by every task on a cluster, before Python starts. Edit it for your site.
# The modules come from the `modules:` list of the cluster's profile.
if [ -n "${HPC_SWEEP_MODULES:-}" ] && command -v module >/dev/null 2>&1; then
  module purge
  for name in $HPC_SWEEP_MODULES; do module load "$name"; done
fi
# As many threads as Slurm gave cores: without it every library takes the whole node.
export OMP_NUM_THREADS="${SLURM_CPUS_PER_TASK:-1}"
export MKL_NUM_THREADS="$OMP_NUM_THREADS"
# Files of a sweep are the user's own.
umask 077
# Compiled operators stay on the node: a lock left behind on a shared disk would stop a whole array.
export TORCH_EXTENSIONS_DIR="${TMPDIR:-/tmp}/torch-extensions-$USER"
# HDF5's own locks do not work on every network file system, and every file here has one writer.
export HDF5_USE_FILE_LOCKING=FALSE
unset HDF5_PLUGIN_PATH
