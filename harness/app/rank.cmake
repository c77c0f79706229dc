add_executable(lockstep-rank
  rank_checkpoint.cpp rank_describe.cpp rank_drills.cpp rank_evidence.cpp rank_faults.cpp rank_health.cpp rank_last_words.cpp
  rank_main.cpp rank_options.cpp rank_placement.cpp rank_places.cpp rank_probes.cpp rank_run.cpp rank_stop.cpp rank_wait.cpp)
target_link_libraries(lockstep-rank PRIVATE
  lockstep_flags lockstep::core lockstep::plan lockstep::mpi lockstep::cuda_driver lockstep::placement lockstep::topology
  lockstep::step lockstep::compute lockstep::cuda lockstep::fabric lockstep::record lockstep::watch lockstep::campaign
  lockstep::report lockstep::workloads
  CLI11::CLI11)
lockstep_reuse_headers(lockstep-rank lockstep_room_headers)
