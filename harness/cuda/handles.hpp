#pragma once

/// CUDA's and NCCL's handles by name alone, so that nobody but this room needs their headers:
/// cudaStream_t is a CUstream_st*, ncclComm_t an ncclComm*.
struct CUstream_st;
struct ncclComm;
