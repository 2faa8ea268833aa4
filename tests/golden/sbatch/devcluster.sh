#!/bin/bash

# Parameters
#SBATCH --array=0-19%8
#SBATCH --chdir=/home/lea/affect
#SBATCH --cpus-per-task=2
#SBATCH --gres=gpu:v100:1
#SBATCH --job-name=hs-trial-000-0-0a1b2c3d
#SBATCH --mem=32768MB
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --open-mode=append
#SBATCH --output=/home/lea/affect/sweeps/trial/logs/%A_%a_0_log.out
#SBATCH --partition=v100
#SBATCH --requeue
#SBATCH --signal=B:USR2@120
#SBATCH --time=60

# setup
export PYTHONPATH=/home/lea/affect/sweeps/trial/code/c0dec0dec0dec0de.zip:/home/lea/affect/sweeps/trial/code/c0dec0dec0dec0de.zip/src${PYTHONPATH:+:$PYTHONPATH}
[ ! -e /home/lea/affect/sweeps/trial/code/c0dec0dec0dec0de.env.sh ] || source /home/lea/affect/sweeps/trial/code/c0dec0dec0dec0de.env.sh

# command
export SUBMITIT_EXECUTOR=slurm
exec /home/lea/affect/.venv/bin/python -P -u -m hpc_sweep.worker /home/lea/affect/sweeps/trial 0 0
